// Attention: all layers and heads at a glance, one of them large, and where each head looks.

import { h, roving, s, shadeCanvas } from "./draw.js";
import { percent } from "./numbers.js";

const LINE = 26; // height of a token's line in the large picture
const FAINT = 0.02; // weights below are not drawn; of the chosen token only those below chance

export function drawAttention(main, x, state, update) {
  const tokens = x.tokens.length;
  const role = x.data.roles[state.layer][state.head];
  main.replaceChildren(
    h(
      "div",
      { class: "attention" },
      h(
        "section",
        { "aria-labelledby": "all-heads" },
        h("h2", { id: "all-heads" }, "All heads"),
        h(
          "p",
          {},
          "A head is one way of looking: by its weights a token takes in what others have to tell (stop 3 of the walk). Each has a picture here: a row for each token that looks, a column for each that is looked at, dark for a large weight. Layers go down, heads go across. They are named by where they mostly look, and counted:",
        ),
        legend(x, state, update),
        grid(x, state, update, tokens),
      ),
      h(
        "section",
        { "aria-labelledby": "one-head" },
        h("h2", { id: "one-head" }, `Layer ${state.layer + 1}, head ${state.head + 1}`),
        h("p", {}, h("span", { class: "role", "data-role": role.name }, role.name), " ", tellRole(role)),
        h(
          "div",
          { class: "large" },
          lines(x, state, update),
          h("div", { class: "large-matrix" }, matrix(x, state, tokens)),
        ),
      ),
    ),
  );
}

function tellRole(role) {
  if (role.name === "broad") return `Its tokens look everywhere alike: ${percent(role.share)} of the highest entropy.`;
  if (role.name === "mixed") return "No one habit explains where it looks.";
  return `In the mean ${percent(role.share)} of a word’s attention goes there, in this sentence.`;
}

function legend(x, state, update) {
  const counts = new Map();
  for (const role of x.data.roles.flat()) counts.set(role.name, (counts.get(role.name) ?? 0) + 1);
  const names = [...counts.keys()].sort((a, b) => counts.get(b) - counts.get(a));
  return h(
    "div",
    { class: "legend", role: "group", "aria-label": "Show the heads of one role" },
    names.map((name) =>
      h(
        "button",
        {
          class: "role",
          "data-role": name,
          id: `role-${name.replaceAll(" ", "-")}`,
          "aria-pressed": state.role === name ? "true" : "false",
          onclick: () => update({ role: state.role === name ? null : name }),
        },
        `${name} ${counts.get(name)}`,
      ),
    ),
  );
}

function grid(x, state, update, tokens) {
  const cells = [];
  for (let layer = 0; layer < x.layers; layer++) {
    for (let head = 0; head < x.heads; head++) {
      const role = x.data.roles[layer][head];
      const chosen = layer === state.layer && head === state.head;
      cells.push(
        h(
          "button",
          {
            id: `head-${layer}-${head}`,
            class: `thumb ${state.role && state.role !== role.name ? "faded" : ""}`,
            "data-role": role.name,
            "aria-pressed": chosen ? "true" : "false",
            "aria-label": `Layer ${layer + 1}, head ${head + 1}: ${role.name}, ${percent(role.share)}`,
            title: `layer ${layer + 1}, head ${head + 1}: ${role.name}`,
            onclick: () => update({ layer, head }),
          },
          shadeCanvas(x.array("layers.shades").at(layer, head).values, tokens, tokens),
        ),
      );
    }
  }
  roving(cells, state.layer * x.heads + state.head, x.heads);
  const rows = Array.from({ length: x.layers }, (_, layer) => [
    h("span", { class: "quiet number", "aria-hidden": "true" }, layer + 1),
    cells.slice(layer * x.heads, (layer + 1) * x.heads),
  ]);
  return h(
    "div",
    { class: "wide" },
    h(
      "div",
      {
        class: "heads",
        role: "group",
        "aria-label": "Heads: arrow keys go to the next",
        style: { "--heads": x.heads },
      },
      rows,
    ),
  );
}

/** Tokens that look on the left, tokens that are looked at on the right, lines between; of one token, or of all. */
function lines(x, state, update) {
  const height = LINE * x.tokens.length,
    width = 160;
  const middle = (place) => LINE * place + LINE / 2;
  const paths = [];
  x.tokens.forEach((_, from) => {
    const weights = x.weights(state.layer, state.head, from);
    const own = from === state.place;
    weights.forEach((weight, to) => {
      if (weight < (own ? Math.min(FAINT, 1 / weights.length) : FAINT)) return;
      paths.push(
        s("path", {
          class: own ? "beam" : "beam others",
          "stroke-opacity": (own ? Math.sqrt(weight) : weight * 0.5).toFixed(3),
          "stroke-width": (0.75 + 4 * weight).toFixed(2),
          d: `M 0 ${middle(from)} C ${width / 2} ${middle(from)}, ${width / 2} ${middle(to)}, ${width} ${middle(to)}`,
        }),
      );
    });
  });
  const looking = x.tokens.map((token, place) =>
    h(
      "button",
      {
        id: `from-${place}`,
        class: "line-token",
        "aria-pressed": place === state.place ? "true" : "false",
        onclick: () => update({ place }),
      },
      token.text,
    ),
  );
  looking.forEach((button, place) =>
    button.addEventListener("keydown", (event) => {
      const next = { ArrowDown: place + 1, ArrowUp: place - 1 }[event.key];
      if (next === undefined || !looking[next]) return;
      event.preventDefault();
      looking[next].focus();
      update({ place: next });
    }),
  );
  looking.forEach((button, place) => {
    button.tabIndex = place === state.place ? 0 : -1;
  });
  const weights = x.weights(state.layer, state.head, state.place);
  const seen = x.tokens.map((token, place) =>
    h(
      "div",
      { class: "line-token seen", style: { "--share": Math.sqrt(weights[place]).toFixed(3) } },
      h("span", {}, token.text),
      h("span", { class: "number" }, weights[place] >= 0.005 ? percent(weights[place]) : ""),
    ),
  );
  return h(
    "div",
    { class: "lines", style: { "--line": `${LINE}px` } },
    h("div", { role: "group", "aria-label": "Tokens that look: up and down" }, looking),
    s(
      "svg",
      {
        viewBox: `0 0 ${width} ${height}`,
        height,
        preserveAspectRatio: "none",
        role: "img",
        "aria-label": `What ${x.text(state.place)} looks at`,
      },
      paths,
    ),
    h("div", { "aria-label": `Weights of ${x.text(state.place)}`, role: "group" }, seen),
  );
}

function matrix(x, state, tokens) {
  const canvas = shadeCanvas(x.array("layers.shades").at(state.layer, state.head).values, tokens, tokens);
  return h(
    "figure",
    {},
    canvas,
    h("figcaption", { class: "quiet" }, "Rows look at columns; darker is more. Each row sums to 1."),
  );
}
