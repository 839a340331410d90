// The stop at self-attention: one row of one head, worked out.

import { bar, formula, h, picker, strip, sub, tableOf, vector } from "./draw.js";
import { byFalling, decimal, largest } from "./numbers.js";

const MOST_ROWS = 12; // of tokens in a table of one row of attention

/** Which layer and head are shown. */
export function whichHead(x, state, update, withHead) {
  const numbers = (count) => Array.from({ length: count }, (_, index) => `${index + 1} of ${count}`);
  const roles = x.data.roles[state.layer].map((role, head) => `${head + 1} of ${x.heads} · ${role.name}`);
  return h(
    "div",
    { class: "pickers" },
    picker("layer", "Layer", numbers(x.layers), state.layer, (layer) => update({ layer })),
    withHead && picker("head", "Head", roles, state.head, (head) => update({ head })),
  );
}

export function attentionStop(x, state, update) {
  return [
    h(
      "p",
      {},
      "Every token asks a question (its ",
      h("b", {}, "query"),
      "), and every token offers a ",
      h("b", {}, "key"),
      ". Where they match, the token takes in that other token’s ",
      h("b", {}, "value"),
      `. Each layer does this ${x.heads} times side by side, in heads.`,
    ),
    whichHead(x, state, update, true),
    formula(
      "softmax( ",
      h("var", {}, "Q K"),
      "ᵀ / √",
      h("var", {}, "H"),
      " ) ",
      h("var", {}, "V"),
      h("span", { class: "quiet" }, `   here H = ${x.headSize}`),
    ),
    x.rowOf.has(state.place)
      ? workedRow(x, state)
      : h(
          "p",
          { class: "note" },
          "This sentence is long: to keep the file small, the numbers of this token’s row were left out. The beams show its weights.",
        ),
  ];
}

function workedRow(x, state) {
  const row = x.rowOf.get(state.place);
  const of = (name, ...at) => x.array(`layers.${name}`).at(state.layer, state.head, ...at).values;
  const query = of("query", row),
    scores = of("scores", row),
    weights = of("weights", row);
  const order = byFalling(weights);
  const shown = order.slice(0, MOST_ROWS).sort((a, b) => a - b);
  const most = Math.max(...shown.map((place) => largest(of("key", place)))),
    mostValue = Math.max(...shown.map((place) => largest(of("value", place))));
  const rows = shown.map((place) => ({
    mark: place === state.place ? "followed" : "",
    cells: [
      h("b", {}, x.text(place)),
      strip(of("key", place), "key", most),
      decimal(scores[place]),
      bar(weights[place], decimal(weights[place], 4)),
      strip(of("value", place), "value", mostValue),
    ],
  }));
  const rest = order.slice(MOST_ROWS).reduce((sum, place) => sum + weights[place], 0);
  const columns = ["token", "key", { name: "q · k / √H", number: true }, { name: "softmax", number: true }, "value"];
  return [
    vector(`query of ${x.text(state.place)}`, query, x.headSize),
    tableOf(`What ${x.text(state.place)} looks at`, columns, rows),
    order.length > MOST_ROWS &&
      h("p", { class: "quiet" }, `${order.length - MOST_ROWS} other tokens together ${decimal(rest, 4)}`),
    workedProduct(x, query, of("key", order[0]), scores, weights, order[0]),
    workedMix(x, weights, order),
    vector("output of the head", of("mixed", row), x.headSize, "result"),
  ];
}

function workedProduct(x, query, key, scores, weights, place) {
  const terms = Array.from(query.subarray(0, 3), (value, index) => `${decimal(value)} × ${decimal(key[index])}`);
  const dot = scores[place] * Math.sqrt(x.headSize);
  const top = Math.max(...scores);
  const sum = scores.reduce((total, score) => total + Math.exp(score - top), 0);
  return h(
    "p",
    { class: "worked" },
    "with ",
    h("b", {}, x.text(place)),
    `: ${terms.join(" + ")} + … (${x.headSize} products) = ${decimal(dot)};  ÷ √${x.headSize} = ${decimal(scores[place])};  `,
    `exp(${decimal(scores[place])}) ÷ Σ exp = 1 ÷ ${decimal(sum / Math.exp(scores[place] - top), 4)} = ${decimal(weights[place], 4)}`,
  );
}

function workedMix(x, weights, order) {
  const parts = order
    .slice(0, 3)
    .map((place, index) => [
      index ? " + " : "",
      decimal(weights[place], 4),
      " ",
      h("var", {}, "v"),
      sub(x.text(place)),
    ]);
  return h("p", { class: "worked" }, "output = ", parts, order.length > 3 ? " + …" : "");
}
