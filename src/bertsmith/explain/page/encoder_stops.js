// The stops from the words to O, but for attention: what they say of the token that is followed.

import { whichHead } from "./attention_stop.js";
import { bar, formula, h, indexed, soFar, spoken, sub, tableOf, vector } from "./draw.js";
import { byFalling, decimal, percent, plus } from "./numbers.js";

export function piecesStop(x, state) {
  const pair = x.data.texts.length > 1;
  const place = state.place;
  const rows = x.tokens.map((token, each) => ({
    mark: each === place ? "followed" : "",
    cells: [
      indexed("W", each + 1),
      h("b", {}, token.text),
      String(token.id),
      token.word === null ? h("span", { class: "quiet" }, "added") : inText(x, token),
      ...(pair ? [token.segment === 0 ? "A" : "B"] : []),
    ],
  }));
  const columns = ["place", "token", { name: "number", number: true }, "characters of the text"];
  return [
    h(
      "p",
      {},
      "A model computes with numbers. So the text is cut into ",
      h("b", {}, "tokens"),
      `: words or pieces of words (WordPieces), out of the ${x.config.vocab_size.toLocaleString("en")} that this model knows, its `,
      h("b", {}, "vocabulary"),
      ". Each goes in as its number in that list. “##” goes on with the word before; [CLS] opens the sequence, and [SEP] closes each text.",
    ),
    x.masked.size > 0 &&
      h(
        "p",
        {},
        mask(),
        " has a number too, the same whatever word it hides. That word the model is not given anywhere.",
      ),
    tableOf("The tokens", [...columns, ...(pair ? ["segment"] : [])], rows),
    x.masked.has(place)
      ? soFar(x, place, `the number ${x.tokens[place].id}, which says that a word is hidden, and not which.`)
      : soFar(x, place, `the number ${x.tokens[place].id}.`),
  ];
}

const mask = () => h("b", { class: "mask" }, "[MASK]");

function inText(x, token) {
  const where = h("span", { class: "quiet" }, `${token.start}–${token.end}`);
  return [`“${x.slice(token.segment, token.start, token.end)}” `, where];
}

export function embeddingsStop(x, state) {
  const { place } = state,
    size = x.config.hidden_size;
  const at = (name) => x.array(`embeddings.${name}`).at(place).values;
  const names = {
    word: `token ${spoken(x, place)}`,
    segment: `segment ${x.tokens[place].segment === 0 ? "A" : "B"}`,
    position: `place ${place + 1}`,
  };
  const parts = Object.keys(names).filter((name) => x.has(`embeddings.${name}`));
  const firsts = parts.map((name) => decimal(at(name)[0]));
  return [
    h(
      "p",
      {},
      "Each token becomes a ",
      h("b", {}, "vector"),
      parts.length > 1
        ? ` of ${size} numbers: the one that training found for the token, plus one for its segment (A is the first text, B the second), plus one for its place.`
        : ` of ${size} numbers, which training found for it. Places come in later: queries and keys are turned by them.`,
    ),
    formula(
      h("var", {}, "x"),
      " = LayerNorm( ",
      parts.map((name, index) => [index ? " + " : "", h("var", {}, "E"), sub(name)]),
      " )",
    ),
    h(
      "p",
      { class: "quiet" },
      "A vector is drawn as a strip, a cell a number: orange above zero, blue below, pale near it.",
    ),
    parts.map((name) => vector(names[name], at(name), size)),
    parts.length > 1 && [
      vector("their sum", at("summed"), size),
      h("p", { class: "worked" }, `first number: ${plus(...firsts)} = ${decimal(at("summed")[0])}`),
    ],
    vector([h("var", {}, "x"), " = LayerNorm of it"], at("normed"), size, "result"),
    h(
      "p",
      { class: "quiet" },
      "LayerNorm brings the numbers of a vector to a common size: to mean 0 and deviation 1, then each times a learned number and plus another.",
    ),
    soFar(x, place, beginning(x, place, parts)),
  ];
}

/** What x says of its token, and what it cannot. */
function beginning(x, place, parts) {
  const where = parts.includes("position") ? `, at place ${place + 1}` : "";
  const segment = where && x.data.texts.length > 1 ? ` of segment ${x.tokens[place].segment === 0 ? "A" : "B"}` : "";
  return x.masked.has(place)
    ? [
        h("var", {}, "x"),
        ` says “a word is hidden${where}${segment}”. In any other text it would say the same; which word is missing in this one, the other tokens have to tell.`,
      ]
    : [h("var", {}, "x"), ` says “${x.text(place)}${where}${segment}”. Of the other tokens it knows nothing yet.`];
}

export function feedForwardStop(x, state, update) {
  const { layer, place } = state,
    size = x.config.hidden_size,
    inner = x.config.intermediate_size;
  const at = (name) => x.ofLayer(name, layer, place);
  const first = (name) => decimal(at(name)[0]);
  const before = layer === 0 ? x.array("embeddings.normed").at(place).values : x.ofLayer("output", layer - 1, place);
  const own = x.modern ? "attention_sum" : "attention_output";
  const added = (one, other, sum) => h("p", { class: "worked" }, `first number: ${plus(one, other)} = ${sum}`);
  const named = (letter, words) => [h("var", {}, letter), words];
  return [
    h(
      "p",
      {},
      `What the ${x.heads} heads took in is put side by side, led through a matrix, and `,
      h("b", {}, "added"),
      ` to the vector: ${spoken(x, place)} stays what it was, and gains what it took in.`,
    ),
    h(
      "p",
      {},
      "Then each vector is worked on alone. ",
      x.modern
        ? `A matrix widens it to ${inner} numbers; GELU brings those below zero to about zero; they are multiplied with ${inner} more, by another matrix, and a last matrix narrows them again.`
        : `A matrix widens it to ${inner} numbers, GELU brings those below zero to about zero, a second matrix narrows it again.`,
      " That is added, too.",
    ),
    whichHead(x, state, update, false),
    layerFormula(x),
    vector(named("x", layer === 0 ? ", from the embeddings" : `, out of layer ${layer}`), before, size),
    vector("heads, joined", at("attended"), size),
    added(decimal(before[0]), first("attended"), first("attention_sum")),
    vector(x.modern ? "LayerNorm of the sum" : named("a", " = LayerNorm of the sum"), at("attention_output"), size),
    vector("widened", at("widened"), inner),
    vector(x.modern ? "GELU of it, times others" : "GELU of it", at("activated"), inner),
    vector("narrowed", at("fed"), size),
    added(first(own), first("fed"), first("fed_sum")),
    vector(named("y", `, out of layer ${layer + 1}`), at("output"), size, "result"),
    soFar(x, place, afterLayer(x, layer)),
  ];
}

function layerFormula(x) {
  const [a, X, y] = ["a", "x", "y"].map((letter) => h("var", {}, letter));
  const again = () => a.cloneNode(true);
  const names = x.modern ? "LN: LayerNorm; join, widen, widen′, narrow" : "join, widen, narrow";
  const widths = h("span", { class: "quiet" }, `${names}: a learned matrix each`);
  return x.modern
    ? formula(
        a,
        " = ",
        X,
        " + join(heads)\n",
        y,
        " = ",
        again(),
        " + narrow( GELU( widen(LN ",
        again(),
        ") ) ∗ widen′(LN ",
        again(),
        ") )\n",
        widths,
      )
    : formula(
        a,
        " = LayerNorm( ",
        X,
        " + join(heads) )\n",
        y,
        " = LayerNorm( ",
        again(),
        " + narrow( GELU( widen(",
        again(),
        ") ) ) )\n",
        widths,
      );
}

function afterLayer(x, layer) {
  const y = () => h("var", {}, "y");
  return layer + 1 < x.layers
    ? [
        y(),
        `, after layer ${layer + 1} of ${x.layers}. The next layer does the same to `,
        y(),
        ", with matrices of its own. What is looked at there has itself looked at others by then.",
      ]
    : [y(), `, after the last of ${x.layers} layers.`];
}

export function outputStop(x, state) {
  const { place } = state,
    size = x.config.hidden_size;
  const output = () => indexed("O", place + 1);
  return [
    h(
      "p",
      {},
      `After ${x.layers} layers of attention and feed-forward, the vector at ${spoken(x, place)} is `,
      output(),
      `: still ${size} numbers, but other ones.`,
    ),
    vector([h("var", {}, "x"), ", at the start"], x.array("embeddings.normed").at(place).values, size),
    vector([output(), ", at the end"], x.array("output").at(place).values, size, "result"),
    madeOf(x, place),
    x.masked.has(place)
      ? soFar(
          x,
          place,
          output(),
          ", the vector of [MASK]: what the rest of the text tells of the word that is missing here. In another text it would be another.",
        )
      : soFar(
          x,
          place,
          output(),
          `, what ${spoken(x, place)} means in this text. In another it would be another vector.`,
        ),
  ];
}

/** Attention rollout. */
function madeOf(x, place) {
  const flow = x.array("rollout").at(place).values;
  const rows = byFalling(flow)
    .slice(0, 6)
    .map((other) => ({ mark: "", cells: [h("b", {}, x.text(other)), bar(flow[other], percent(flow[other]))] }));
  return [
    h("h3", {}, "What it is made of"),
    h(
      "p",
      {},
      "Roughly so much of it comes from each token, by rollout: the mean weights of each layer’s heads, and as much for what a token keeps of itself, followed back to the start.",
    ),
    tableOf(`What has reached ${x.text(place)}`, ["token", { name: "share of all", number: true }], rows),
  ];
}
