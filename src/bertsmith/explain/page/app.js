// The page: which view is shown, and what is chosen in it. A server's page may call `start` again with a new explanation.

import { h } from "./draw.js";
import { Explanation } from "./explanation.js";
import { drawWalk, keyOfWalk } from "./walk.js";
import { drawAttention } from "./attention.js";
import { drawEvidence, hasEvidence } from "./evidence.js";
import { drawCompare, hasBeside } from "./compare.js";

const VIEWS = [
  { id: "walk", name: "The walk", draw: drawWalk, key: keyOfWalk, there: () => true },
  { id: "attention", name: "Attention", draw: drawAttention, there: () => true },
  { id: "evidence", name: "Evidence", draw: drawEvidence, there: hasEvidence },
  { id: "compare", name: "Compare", draw: drawCompare, there: hasBeside },
];

let showing = null; // what was shown before listens no longer

/** Show an explanation, as `Explanation.as_json` gives it, in an element. */
export async function start(root, data) {
  const x = await Explanation.open(data);
  showing?.abort();
  showing = new AbortController();
  const { signal } = showing;
  const views = VIEWS.filter((view) => view.there(x));
  const state = {
    view: "walk",
    stop: 0,
    place: data.start,
    layer: 0,
    head: 0,
    hidden: null,
    target: 0,
    method: 0,
    role: null,
    beside: 0,
    moved: null,
  };
  const main = h("main", { id: "main" });
  const nav = h("nav", { "aria-label": "Views" });

  const draw = () => {
    const view = views.find((each) => each.id === state.view) ?? views[0];
    const focused = document.activeElement?.id;
    nav.replaceChildren(
      ...views.map((each) =>
        h(
          "a",
          {
            href: `#${each.id}`,
            id: `to-${each.id}`,
            "aria-current": each === view ? "page" : null,
            onclick: (event) => go(event, each),
          },
          each.name,
        ),
      ),
    );
    view.draw(main, x, state, update);
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  };
  const update = (change) => {
    Object.assign(state, change);
    draw();
  };
  const go = (event, view) => {
    if (location.protocol !== "about:") return; // the address says it, and the browser's Back button knows it
    event.preventDefault(); // in a notebook's frame, which has no address
    update({ view: view.id });
  };
  const follow = () => update({ view: location.hash.slice(1) || "walk" });

  root.replaceChildren(
    h(
      "a",
      {
        class: "skip",
        href: "#main",
        onclick: (event) => {
          event.preventDefault();
          main.querySelector("button, a, select")?.focus();
        },
      },
      "To the content",
    ),
    h(
      "header",
      {},
      h(
        "div",
        { class: "title" },
        h(
          "h1",
          {},
          data.task ? "How it comes to " : "What happens at ",
          h("span", { class: "mask" }, data.task ? "its answer" : data.masked.length ? "[MASK]" : "each word"),
        ),
        h("p", { class: "quiet" }, describe(x)),
      ),
      nav,
    ),
    main,
    h(
      "footer",
      { class: "quiet" },
      "Every number is the model’s own, from one forward pass in float32. Drawn by bertsmith.",
    ),
  );
  window.addEventListener("hashchange", follow, { signal });
  window.addEventListener(
    "keydown",
    (event) => {
      const view = views.find((each) => each.id === state.view);
      if (
        !event.target.closest("select, input, textarea, [role=region]") &&
        !event.altKey &&
        !event.ctrlKey &&
        !event.metaKey
      ) {
        view?.key?.(event, x, state, update);
      }
    },
    { signal },
  );
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw, { signal });
  follow();
}

function describe(x) {
  const { num_hidden_layers: layers, num_attention_heads: heads, hidden_size: width, vocab_size: size } = x.config;
  const kind = x.modern ? "ModernBERT" : "BERT";
  const name = x.data.model.split("/").pop();
  return `${name}: ${kind}, ${layers} layers of ${heads} heads, ${width} values a token, ${size.toLocaleString("en")} WordPieces`;
}
