// The stops above O: the guess at a token, or what a fine-tuned model says.

import { bar, formula, h, indexed, strip, sub, tableOf, vector } from "./draw.js";
import { byFalling, decimal, percent } from "./numbers.js";
import { drawAnswer } from "./answers.js";

const at = (x, name, place) => x.array(`masked_lm.${name}`).at(place).values;

export function classificationStop(x, state) {
  const size = x.config.hidden_size;
  return [
    h(
      "p",
      {},
      "Only this token’s ",
      indexed("O", state.place + 1),
      " goes on. One more layer turns it into a vector that can be compared with the vectors of words.",
    ),
    formula(
      h("var", {}, "h"),
      " = LayerNorm( GELU( ",
      h("var", {}, "W"),
      " ",
      indexed("O", state.place + 1),
      x.modern ? " ) )" : [" + ", h("var", {}, "b"), " ) )"],
    ),
    vector(indexed("O", state.place + 1), x.array("output").at(state.place).values, size),
    vector("dense", at(x, "dense", state.place), size),
    vector("GELU", at(x, "activated", state.place), size),
    h(
      "p",
      { class: "worked" },
      `first value: GELU(${decimal(at(x, "dense", state.place)[0])}) = ${decimal(at(x, "activated", state.place)[0])}`,
    ),
    vector("h = LayerNorm of it", at(x, "normed", state.place), size, "result"),
  ];
}

export function softmaxStop(x, state) {
  const guesses = x.guess(state.place);
  const logSum = x.array("masked_lm.log_sum").values[state.place];
  const rows = guesses.map((guess, index) => ({
    mark: index === 0 ? "followed" : "",
    cells: [
      h("b", {}, guess.piece),
      strip(x.array("masked_lm.rows").at(state.place, index).values, `word embedding of ${guess.piece}`),
      decimal(guess.logit),
      bar(guess.probability, percent(guess.probability)),
    ],
  }));
  return [
    h(
      "p",
      {},
      `Each of the ${x.config.vocab_size.toLocaleString("en")} WordPieces has the word embedding that it came in with. The better `,
      h("var", {}, "h"),
      " points along one, the higher that piece’s logit. Softmax makes the logits probabilities.",
    ),
    formula(
      "logit",
      sub("w"),
      " = ",
      h("var", {}, "h"),
      " · ",
      h("var", {}, "E"),
      sub("w"),
      " + ",
      h("var", {}, "b"),
      sub("w"),
      ",   ",
      h("var", {}, "p"),
      sub("w"),
      " = exp(logit",
      sub("w"),
      ") / Σ",
      sub("v"),
      " exp(logit",
      sub("v"),
      ")",
    ),
    vector("h", at(x, "normed", state.place), x.config.hidden_size),
    tableOf(
      "The likeliest WordPieces",
      ["piece", "its word embedding", { name: "logit", number: true }, { name: "probability", number: true }],
      rows,
    ),
    workedLogit(x, state.place, guesses[0], logSum),
  ];
}

function workedLogit(x, place, best, logSum) {
  const row = x.array("masked_lm.rows").at(place, 0).values,
    vectorOf = at(x, "normed", place);
  const terms = Array.from(row.subarray(0, 3), (value, index) => `${decimal(vectorOf[index])} × ${decimal(value)}`);
  return h(
    "p",
    { class: "worked" },
    h("b", {}, best.piece),
    `: ${terms.join(" + ")} + … (${x.config.hidden_size} products) + ${decimal(best.bias)} = ${decimal(best.logit)};  exp(${decimal(best.logit)}) ÷ Σ = exp(${decimal(best.logit)} − ${decimal(logSum)}) = ${percent(best.probability)}`.replaceAll(
      "+ −",
      "− ",
    ),
  );
}

export function guessStop(x, state, update) {
  const masked = x.masked.has(state.place);
  const guesses = x.guess(state.place);
  return [
    filled(x, state.place, guesses[0].piece),
    masked
      ? h(
          "p",
          {},
          indexed("W′", state.place + 1),
          " is the likeliest WordPiece at [MASK]. It was never in the sentence: it was read out of what the other words said.",
        )
      : h(
          "p",
          {},
          "This token is in plain sight, so guessing it is easy. Hide it, below, to see what the rest of the sentence says about it.",
        ),
    guessTable(`Guesses at ${x.text(state.place)}`, guesses),
    hideAnother(x, state, update),
    nextSentence(x),
  ];
}

/** The text with the guess where the token stood. */
function filled(x, place, piece) {
  const { segment, start, end } = x.tokens[place];
  if (x.special(place)) return null;
  const before = x.slice(segment, 0, start);
  return h(
    "p",
    { class: "filled", dir: "auto" },
    piece.startsWith("##") ? before.trimEnd() : before,
    h("span", { class: "answer" }, piece.replace(/^##/, "")),
    x.slice(segment, end, undefined),
  );
}

function guessTable(caption, guesses) {
  const rows = guesses.map((guess, index) => ({
    mark: index === 0 ? "followed" : "",
    cells: [h("b", {}, guess.piece), bar(guess.probability, percent(guess.probability))],
  }));
  return tableOf(caption, ["piece", { name: "probability", number: true }], rows);
}

/** Any other word hidden instead, as it was worked out before. */
function hideAnother(x, state, update) {
  const found = x.data.hidden_words;
  if (!found.length) return null;
  const name = (word) => word.places.map((place) => x.text(place).replace(/^##/, "")).join("");
  const chosen = found[state.hidden];
  return [
    h("h3", {}, x.masked.size ? "Hide another word too" : "Hide a word"),
    h(
      "p",
      {},
      "The shade under a word is the probability that it is given when it is hidden: pale words are surprises.",
    ),
    h(
      "div",
      { class: "words", role: "group", "aria-label": "Words to hide" },
      found.map((word, index) =>
        h(
          "button",
          {
            class: "word",
            id: `hide-${index}`,
            "aria-pressed": index === state.hidden ? "true" : "false",
            style: { "--share": Math.min(...word.own).toFixed(4) },
            "aria-label":
              index === state.hidden
                ? `[MASK] hides ${name(word)}`
                : `${name(word)}: hide it; its probability is then ${percent(Math.min(...word.own))}`,
            onclick: () => update({ hidden: index === state.hidden ? null : index }),
          },
          index === state.hidden ? "[MASK]" : name(word),
        ),
      ),
    ),
    chosen &&
      h(
        "div",
        { "aria-live": "polite" },
        chosen.places.map((place, index) => [
          h("p", {}, "Where ", h("b", {}, x.text(place)), ` stood (probability ${percent(chosen.own[index])}):`),
          guessTable(
            `Guesses for ${x.text(place)}, hidden`,
            chosen.ids[index]
              .slice(0, 5)
              .map((id, rank) => ({ piece: x.piece(id), probability: chosen.probabilities[index][rank] })),
          ),
        ]),
      ),
  ];
}

function nextSentence(x) {
  const found = x.data.next_sentence;
  if (!found) return null;
  const rows = ["B follows A", "B is from elsewhere"].map((text, index) => ({
    mark: "",
    cells: [text, decimal(found.logits[index]), bar(found.probabilities[index], percent(found.probabilities[index]))],
  }));
  return [
    h("h3", {}, "Next sentence"),
    h(
      "p",
      {},
      "From O",
      sub("1"),
      ", that of [CLS], pooled (dense, tanh), one more matrix says whether the second text follows the first.",
    ),
    tableOf(
      "Next-sentence prediction",
      ["what it says", { name: "logit", number: true }, { name: "probability", number: true }],
      rows,
    ),
  ];
}

export function taskStop(x, state) {
  const { places, labels, name } = x.data.task;
  const index = Math.max(0, places.indexOf(state.place));
  const place = places[index];
  const logits = x.array("task.logits").at(index).values;
  const names =
    name === "answer" ? ["first token of the answer", "last token of the answer"] : labels.length ? labels : ["score"];
  const rows = byFalling(logits)
    .slice(0, 12)
    .map((output) => ({ mark: "", cells: [names[output], decimal(logits[output])] }));
  const read = {
    classify: "[CLS]",
    regress: "[CLS]",
    choose: "[CLS]",
    tag: "the first piece of each word",
    answer: "each token of the context, and [CLS]",
  }[name];
  return [
    h(
      "p",
      {},
      `In fine-tuning the layer that guesses words was put aside, and a small one for the task put in its place. It reads ${read}.`,
    ),
    places.length > 1 &&
      places.indexOf(state.place) < 0 &&
      h("p", { class: "note" }, "The token that you follow is not read by this task; shown is the first that is."),
    formula("logits = ", h("var", {}, "W r"), " + ", h("var", {}, "b")),
    vector(
      h("span", {}, "r, read at ", h("b", {}, x.text(place))),
      x.array("task.read").at(index).values,
      x.config.hidden_size,
    ),
    tableOf(`Logits at ${x.text(place)}`, ["output", { name: "logit", number: true }], rows),
  ];
}

export function answerStop(x) {
  return drawAnswer(x);
}
