// The page: which view is shown, and what is chosen in it. In a file it shows one explanation, from a server many.

import { h } from "./draw.js";
import { Explanation } from "./explanation.js";
import { drawWalk, keyOfWalk, stopsOf } from "./walk.js";
import { drawAttention } from "./attention.js";
import { drawEvidence, hasEvidence } from "./evidence.js";
import { drawCompare, hasBeside } from "./compare.js";

const VIEWS = [
  { id: "walk", name: "The walk", draw: drawWalk, key: keyOfWalk, there: () => true },
  { id: "attention", name: "Attention", draw: drawAttention, there: () => true },
  { id: "evidence", name: "Evidence", ofTask: "The answer", draw: drawEvidence, there: hasEvidence },
  { id: "compare", name: "Compare", draw: drawCompare, there: hasBeside },
];
const AT_FIRST = { stop: 0, layer: 0, head: 0, hidden: null, target: 0, method: 0, role: null, beside: 0, moved: null };

/** Show an explanation, as `Explanation.as_json` gives it, in an element. */
export async function start(root, data, more = {}) {
  openPage(root, more).show(await Explanation.open(data));
}

/**
 * The page in an element, with nothing to show yet.
 *
 * more.above stands over the views, more.views come after them, with `titled` where the title is not of the model,
 * more.empty is said where there is nothing to show, more.note ends the footer, more.turned hears which view is shown.
 * `show` gives it an explanation, or null.
 */
export function openPage(root, { above = null, views: added = [], empty = "", note = null, turned = () => {} } = {}) {
  let x = null;
  const state = { view: "walk", place: 0, ...AT_FIRST };
  const main = h("main", { id: "main" });
  const nav = h("nav", { "aria-label": "Views" });
  const title = h("div", { class: "title" });
  const views = () => [
    ...(x ? VIEWS.filter((view) => view.there(x)) : VIEWS.slice(0, 2)),
    ...added.filter((view) => view.there()),
  ];
  const shown = () => views().find((each) => each.id === state.view) ?? views()[0];

  const draw = () => {
    const view = shown();
    const focused = document.activeElement?.id;
    title.replaceChildren(...(view.titled ?? titled)(x));
    nav.replaceChildren(...views().map((each) => link(each, view)));
    if (above) above.hidden = added.includes(view);
    if (x || added.includes(view)) view.draw(main, x, state, update);
    else main.replaceChildren(h("p", { class: "note" }, empty));
    if (focused && document.activeElement?.id !== focused)
      document.getElementById(focused)?.focus({ preventScroll: true });
  };
  const link = (each, view) =>
    h(
      "a",
      {
        href: `#${each.id}`,
        id: `to-${each.id}`,
        "aria-current": each === view ? "page" : null,
        onclick: (event) => go(event, each),
      },
      x?.data.task && each.ofTask ? each.ofTask : each.name,
    );
  const update = (change) => {
    Object.assign(state, change);
    draw();
  };
  const go = (event, view) => {
    if (location.protocol !== "about:") return; // the address says it, and the browser's Back button knows it
    event.preventDefault(); // in a notebook's frame, which has no address
    update({ view: view.id });
  };
  const follow = () => {
    update({ view: location.hash.slice(1) || "walk" });
    turned(shown().id);
  };

  root.replaceChildren(skipLink(main), h("header", {}, title, nav), ...[above, main].filter(Boolean), footer(note));
  window.addEventListener("hashchange", follow);
  window.addEventListener("keydown", (event) => {
    const typing = event.target.closest("select, input, textarea, [role=region]");
    if (x && !typing && !event.altKey && !event.ctrlKey && !event.metaKey) shown().key?.(event, x, state, update);
  });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

  return {
    view: () => shown().id,
    place: () => state.place,
    draw,
    /** Another explanation, or null; what was chosen stays chosen where it still can be. */
    show(found, place = null) {
      const begun = x !== null;
      x = found;
      if (x) Object.assign(state, begun ? stillThere(x, state) : {}, { place: place ?? x.data.start });
      if (begun) draw();
      else follow();
    },
  };
}

function stillThere(x, { stop, layer, head, beside, moved }) {
  const last = { stop: stopsOf(x).length - 1, layer: x.layers - 1, head: x.heads - 1 };
  return {
    stop: Math.min(stop, last.stop),
    layer: Math.min(layer, last.layer),
    head: Math.min(head, last.head),
    beside: beside < x.data.beside.length ? beside : 0,
    moved: moved && moved[0] < x.layers && moved[1] < x.heads ? moved : null,
    ...{ hidden: null, target: 0 },
  };
}

function titled(x) {
  const task = x?.data.task;
  const at = task ? "its answer" : !x || x.data.masked.length ? "[MASK]" : "each word";
  return [
    h("h1", {}, task ? "How it comes to " : "What happens at ", h("span", { class: "mask" }, at)),
    h("p", { class: "quiet" }, x ? describe(x) : ""),
  ];
}

function skipLink(main) {
  const skip = (event) => {
    event.preventDefault();
    main.querySelector("button, a, select, input")?.focus();
  };
  return h("a", { class: "skip", href: "#main", onclick: skip }, "To the content");
}

function footer(note) {
  return h(
    "footer",
    { class: "quiet" },
    "Every number is the model’s own, from one forward pass in float32. Drawn by bertsmith.",
    note && [" ", note],
  );
}

function describe(x) {
  const { num_hidden_layers: layers, num_attention_heads: heads, hidden_size: width, vocab_size: size } = x.config;
  const kind = x.modern ? "ModernBERT" : "BERT";
  const name = x.data.model.split("/").pop();
  return `${name}: ${kind}, ${layers} layers of ${heads} heads, ${width} numbers a token, ${size.toLocaleString("en")} WordPieces`;
}
