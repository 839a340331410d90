// Compare, the heads: how much of each one's attention went elsewhere, and one of them before and after.

import { h, roving, shadeCanvas, tableOf } from "./draw.js";
import { decimal, percent } from "./numbers.js";

const CHANGES_SHOWN = 8; // tokens of a row that moved most

export function drawMovedAttention(x, state, update, beside, nameOf) {
  const [layer, head] = state.moved ?? beside.heads[0];
  return [
    h(
      "p",
      {},
      "The share of a head’s attention that goes to other tokens than in the other model, in the mean over the tokens of this sentence. Layers go down, heads go across.",
    ),
    movedGrid(x, update, beside, layer, head),
    h(
      "h3",
      { id: "moved-head" },
      `Layer ${layer + 1}, head ${head + 1}: ${percent(beside.attention[layer][head])} moved`,
    ),
    ...headBeside(x, state, beside, layer, head, nameOf),
  ];
}

function movedGrid(x, update, beside, layer, head) {
  const most = Math.max(...beside.attention.flat()) || 1;
  const cells = beside.attention.flatMap((heads, row) =>
    heads.map((moved, column) =>
      h(
        "button",
        {
          id: `moved-${row}-${column}`,
          class: "moved",
          style: { "--share": (moved / most).toFixed(3) },
          "aria-pressed": row === layer && column === head ? "true" : "false",
          "aria-label": `Layer ${row + 1}, head ${column + 1}: ${Math.round(100 * moved)}% moved`,
          onclick: () => update({ moved: [row, column] }),
        },
        h("span", { "aria-hidden": "true" }, Math.round(100 * moved)),
      ),
    ),
  );
  roving(cells, layer * x.heads + head, x.heads);
  const rows = beside.attention.map((_, row) => [
    h("span", { class: "quiet number", "aria-hidden": "true" }, row + 1),
    cells.slice(row * x.heads, (row + 1) * x.heads),
  ]);
  const names = { role: "group", "aria-label": "Heads, percent moved: arrow keys go to the next" };
  return h("div", { class: "wide" }, h("div", { class: "heads", ...names, style: { "--heads": x.heads } }, rows));
}

function headBeside(x, state, beside, layer, head, nameOf) {
  const kept = beside.heads.findIndex(([row, column]) => row === layer && column === head);
  if (kept < 0) {
    return [
      h(
        "p",
        { class: "quiet" },
        "This head moved less than others, and its weights in the other model are not on this page.",
      ),
    ];
  }
  const tokens = x.tokens.length;
  const before = x.array(`beside.${state.beside}.weights`).at(kept);
  const shades = Uint8Array.from(before.values, (weight) => Math.round(255 * Math.sqrt(weight)));
  const picture = (name, values) =>
    h("figure", {}, shadeCanvas(values, tokens, tokens), h("figcaption", { class: "quiet" }, name));
  const now = x.weights(layer, head, state.place);
  const was = before.at(state.place).values;
  const order = Array.from(now.keys()).sort((a, b) => Math.abs(now[b] - was[b]) - Math.abs(now[a] - was[a]));
  const rows = order.slice(0, CHANGES_SHOWN).map((place) => ({
    mark: "",
    cells: [h("b", {}, x.text(place)), decimal(was[place]), decimal(now[place]), signed(now[place] - was[place])],
  }));
  const number = (name) => ({ name, number: true });
  return [
    h(
      "div",
      { class: "pair pictures" },
      picture(nameOf(beside.model), shades),
      picture(nameOf(x.data.model), x.array("layers.shades").at(layer, head).values),
    ),
    tableOf(
      `What ${x.text(state.place)} looks at: the largest changes`,
      ["token", number("before"), number("now"), number("change")],
      rows,
    ),
  ];
}

function signed(value) {
  const text = decimal(value);
  return value > 0 && Number(text) !== 0 ? `+${text}` : text;
}
