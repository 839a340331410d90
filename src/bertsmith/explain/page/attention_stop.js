// The stop at self-attention: one row of one head, worked out.

import { bar, formula, h, picker, soFar, spoken, strip, tableOf, vector } from "./draw.js";
import { byFalling, decimal, dotProduct, largest, percent, plus, powerOfE, times } from "./numbers.js";

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
  const name = spoken(x, state.place);
  return [
    h(
      "p",
      {},
      "Here tokens look at one another. Out of its vector each makes three shorter ones, by matrices that training found: a ",
      h("b", {}, "query"),
      ", what it looks for; a ",
      h("b", {}, "key"),
      ", what it is found by; a ",
      h("b", {}, "value"),
      ", what it has to tell.",
    ),
    h(
      "p",
      {},
      `The better the query of ${name} fits a token’s key, the more of that token’s value ${name} takes in. This is done ${x.heads} times side by side in each of ${x.layers} layers, by `,
      h("b", {}, "heads"),
      " with matrices of their own; a head is named by where it mostly looks in this text.",
    ),
    whichHead(x, state, update, true),
    formula(
      "softmax( ",
      h("var", {}, "Q K"),
      "ᵀ / √",
      h("var", {}, "H"),
      " ) ",
      h("var", {}, "V"),
      h(
        "span",
        { class: "quiet" },
        `\nQ, K, V: the queries, keys and values, a row a token; H = ${x.headSize}, the numbers in each`,
      ),
    ),
    x.rowOf.has(state.place)
      ? workedRow(x, state)
      : h(
          "p",
          { class: "note" },
          "This text is long: to keep the file small, the numbers of this token’s row were left out. The lines in the diagram show its weights.",
        ),
  ];
}

function workedRow(x, state) {
  const { layer, head, place } = state,
    row = x.rowOf.get(place);
  const of = (name, ...at) => x.array(`layers.${name}`).at(layer, head, ...at).values;
  const query = of("query", row),
    scores = of("scores", row),
    weights = of("weights", row),
    mixed = of("mixed", row);
  const order = byFalling(weights),
    [best] = order;
  const rest = order.slice(MOST_ROWS).reduce((sum, each) => sum + weights[each], 0);
  return [
    vector(`query of ${spoken(x, place)}`, query, x.headSize),
    lookedAt(x, place, order.slice(0, MOST_ROWS), { of, scores, weights }),
    order.length > MOST_ROWS &&
      h("p", { class: "quiet" }, `and ${order.length - MOST_ROWS} more, together ${decimal(rest, 4)}`),
    workedWeight(x, { query, key: of("key", best), scores, weights }, best),
    vector("output of the head", mixed, x.headSize, "result"),
    workedMix(x, order, weights, (each) => of("value", each)[0], mixed[0]),
    soFar(x, place, takenIn(x, order, weights), " These weights are the lines in the diagram."),
  ];
}

/** The tokens that are looked at most, in their order. */
function lookedAt(x, place, most, { of, scores, weights }) {
  const shown = most.sort((a, b) => a - b);
  const scale = (name) => Math.max(...shown.map((each) => largest(of(name, each))));
  const [keys, values] = [scale("key"), scale("value")];
  const rows = shown.map((each) => ({
    mark: each === place ? "followed" : "",
    cells: [
      h("b", {}, x.text(each)),
      strip(of("key", each), "key", keys),
      decimal(scores[each]),
      bar(weights[each], decimal(weights[each], 4)),
      strip(of("value", each), "value", values),
    ],
  }));
  const columns = ["token", "key", "fit: q · k / √H", "weight: softmax", "value"];
  return tableOf(
    `What ${x.text(place)} looks at`,
    columns.map((name, index) => (index === 2 || index === 3 ? { name, number: true } : name)),
    rows,
  );
}

function workedWeight(x, { query, key, scores, weights }, best) {
  const top = Math.max(...scores);
  const logSum = top + Math.log(scores.reduce((total, score) => total + Math.exp(score - top), 0));
  const fit = decimal(scores[best]);
  return [
    h(
      "p",
      { class: "worked" },
      "fit of ",
      h("b", {}, x.text(best)),
      `: q · k = ${dotProduct(query, key, x.headSize)} = ${decimal(scores[best] * Math.sqrt(x.headSize))}; ÷ √${x.headSize} = ${fit}`,
    ),
    h(
      "p",
      { class: "worked" },
      "its weight: ",
      h("i", {}, "e"),
      h("sup", {}, fit),
      ` = ${powerOfE(scores[best])}; ÷ ${powerOfE(logSum)}, the sum of that over all ${scores.length} tokens, = ${decimal(weights[best], 4)}`,
    ),
  ];
}

function workedMix(x, order, weights, firstOf, first) {
  const most = order.slice(0, 3).filter((each) => weights[each] >= 0.0005);
  const terms = most.map((each) => times(weights[each], firstOf(each)));
  const more = most.length < order.length ? " + …" : "";
  return h("p", { class: "worked" }, `first number, weights × values: ${plus(...terms)}${more} = ${decimal(first)}`);
}

/** In words: of whom most was taken in. */
function takenIn(x, order, weights) {
  const most = order.slice(0, 3).filter((each, rank) => rank === 0 || weights[each] >= 0.1);
  const named = most.reduce((sum, each) => sum + weights[each], 0);
  return [
    "by this head it takes in the value of ",
    most.map((each, index) => [index ? ", of " : "", h("b", {}, spoken(x, each)), ` (${percent(weights[each])})`]),
    named < 0.9 ? " and, in smaller parts, of the others." : ".",
  ];
}
