// The stops from the words to O, but for attention: what they say of the token that is followed.

import { whichHead } from "./attention_stop.js";
import { bar, formula, h, indexed, sub, tableOf, vector } from "./draw.js";
import { byFalling, decimal, percent } from "./numbers.js";

export function piecesStop(x, state) {
  const rows = x.tokens.map((token, place) => ({
    mark: place === state.place ? "followed" : "",
    cells: [
      indexed("W", place + 1),
      h("b", {}, token.text),
      String(token.id),
      token.word === null
        ? "added"
        : `“${x.slice(token.segment, token.start, token.end)}”, ${token.start}–${token.end}`,
      token.segment === 0 ? "A" : "B",
    ],
  }));
  const columns = ["place", "WordPiece", { name: "id", number: true }, "characters", "segment"];
  return [
    h(
      "p",
      {},
      "A model reads numbers. The text is cut into pieces of its vocabulary; “##” says that a piece goes on with the word before. ",
      h("b", {}, "[CLS]"),
      " opens the sequence and ",
      h("b", {}, "[SEP]"),
      " closes each text.",
    ),
    x.masked.size > 0 &&
      h(
        "p",
        {},
        h("b", { class: "mask" }, "[MASK]"),
        " is a piece like any other, with an id of its own. It holds the place of a word that the model is to guess. What stood there, the model never sees.",
      ),
    tableOf("The tokens", columns, rows),
  ];
}

export function embeddingsStop(x, state) {
  const size = x.config.hidden_size;
  const at = (name) => x.array(`embeddings.${name}`).at(state.place).values;
  const names = {
    word: `“${x.text(state.place)}”`,
    segment: `segment ${x.tokens[state.place].segment === 0 ? "A" : "B"}`,
    position: `place ${state.place + 1}`,
  };
  const parts = Object.keys(names).filter((name) => x.has(`embeddings.${name}`));
  const firsts = parts
    .map((name) => decimal(at(name)[0]))
    .join(" + ")
    .replaceAll("+ −", "− ");
  return [
    h(
      "p",
      {},
      parts.length > 1
        ? "Each token becomes a vector: what was learned for the piece, plus what was learned for its segment, plus what was learned for its place."
        : "Each token becomes the vector that was learned for the piece. Places come in later: queries and keys are turned by them.",
    ),
    x.masked.has(state.place) &&
      h(
        "p",
        {},
        "Every [MASK] begins as this same vector. It says only “something is missing here”; all that it comes to mean, it hears from the other words in the layers above.",
      ),
    formula(
      h("var", {}, "x"),
      " = LayerNorm(",
      parts.map((name, index) => [index ? " + " : "", h("var", {}, "E"), sub(name)]),
      ")",
    ),
    parts.map((name) => vector(names[name], at(name), size)),
    parts.length > 1 && vector("their sum", at("summed"), size),
    parts.length > 1 && h("p", { class: "worked" }, `first value: ${firsts} = ${decimal(at("summed")[0])}`),
    vector("LayerNorm of it", at("normed"), size, "result"),
    h(
      "p",
      { class: "quiet" },
      "LayerNorm shifts and scales the vector to mean 0 and deviation 1, then by two learned values a component.",
    ),
  ];
}

export function feedForwardStop(x, state, update) {
  const size = x.config.hidden_size,
    inner = x.config.intermediate_size;
  const at = (name) => x.ofLayer(name, state.layer, state.place);
  const first = (name) => decimal(at(name)[0]);
  const before =
    state.layer === 0
      ? x.array("embeddings.normed").at(state.place).values
      : x.ofLayer("output", state.layer - 1, state.place);
  const added = `first value: ${decimal(before[0])} + ${first("attended")} = ${first("attention_sum")}`;
  const own = x.modern ? "attention_sum" : "attention_output";
  return [
    h(
      "p",
      {},
      "What the heads brought is put together by a matrix and added to what the token was before: it keeps itself and adds what it heard. Then the token thinks on its own: a wider layer, GELU, and back.",
    ),
    whichHead(x, state, update, false),
    x.modern
      ? formula(
          h("var", {}, "a"),
          " = ",
          h("var", {}, "x"),
          " + heads · W",
          sub("O"),
          ",   ",
          h("var", {}, "y"),
          " = ",
          h("var", {}, "a"),
          " + (GELU(LN(a)W₁) ∗ LN(a)W₂) W₃",
        )
      : formula(
          h("var", {}, "a"),
          " = LayerNorm(",
          h("var", {}, "x"),
          " + heads · W",
          sub("O"),
          "),   ",
          h("var", {}, "y"),
          " = LayerNorm(",
          h("var", {}, "a"),
          " + W₂ GELU(W₁ ",
          h("var", {}, "a"),
          "))",
        ),
    vector("x, before", before, size),
    vector("from the heads", at("attended"), size),
    h("p", { class: "worked" }, added.replaceAll("+ −", "− ")),
    vector(x.modern ? "LayerNorm of the sum" : "a = LayerNorm of the sum", at("attention_output"), size),
    vector(x.modern ? "widened" : "W₁ a, widened", at("widened"), inner),
    vector(x.modern ? "GELU of it, gated" : "GELU of it", at("activated"), inner),
    vector("back to the width", at("fed"), size),
    h(
      "p",
      { class: "worked" },
      `first value: ${first(own)} + ${first("fed")} = ${first("fed_sum")}`.replaceAll("+ −", "− "),
    ),
    vector(`y, out of layer ${state.layer + 1}`, at("output"), size, "result"),
  ];
}

export function outputStop(x, state, update) {
  const place = state.place;
  return [
    h(
      "p",
      {},
      `After ${x.layers} layers the token is `,
      indexed("O", place + 1),
      ": a vector of the same width, but now it holds what the sentence says about this place.",
    ),
    vector(
      h("span", {}, indexed("O", place + 1), ` of ${x.text(place)}`),
      x.array("output").at(place).values,
      x.config.hidden_size,
      "result",
    ),
    lens(x, place),
    heard(x, place),
  ];
}

/** The guess after each layer. */
function lens(x, place) {
  const found = x.data.lens;
  const index = found ? found.places.indexOf(place) : -1;
  if (index < 0) return null;
  const rows = found.ids
    .map((layer, depth) => ({
      mark: "",
      cells: [
        depth === 0 ? "embeddings" : `layer ${depth}`,
        h(
          "span",
          { class: "pieces" },
          layer[index].slice(0, 3).map((id) => h("span", { class: "piece" }, x.piece(id))),
        ),
        bar(found.probabilities[depth][index][0], percent(found.probabilities[depth][index][0])),
      ],
    }))
    .reverse();
  return [
    h("h3", {}, "If the encoder ended earlier"),
    h(
      "p",
      {},
      "The last steps of the walk, taken at each layer instead of the last: this is how the guess forms on the way up.",
    ),
    tableOf(
      "The guess after each layer",
      ["after", "likeliest", { name: "probability of the first", number: true }],
      rows,
    ),
  ];
}

/** Attention rollout. */
function heard(x, place) {
  const flow = x.array("rollout").at(place).values;
  const rows = byFalling(flow)
    .slice(0, 6)
    .map((other) => ({ mark: "", cells: [h("b", {}, x.text(other)), bar(flow[other], percent(flow[other]))] }));
  return [
    h("h3", {}, "Whom it has heard"),
    h(
      "p",
      {},
      "How much of each token has reached this one through all layers, if only attention carried it (rollout).",
    ),
    tableOf(`What has reached ${x.text(place)}`, ["token", { name: "share", number: true }], rows),
  ];
}
