// The stop at the guess: which word, where it came from, how it formed, and what other words would be guessed.

import { bar, h, indexed, spoken, sub, tableOf } from "./draw.js";
import { byFalling, decimal, percent } from "./numbers.js";

const MOST_GUESSES = 5; // told here; the stop before has more

export function guessStop(x, state, update) {
  const { place } = state;
  const guesses = x.guess(place);
  return [
    filled(x, place, guesses[0].piece),
    x.masked.has(place)
      ? whereFrom(x, place, guesses[0])
      : h(
          "p",
          {},
          "This token is in plain sight, so guessing it is easy. Hide it, below, to see what the rest of the text says about it.",
        ),
    guessTable(`Guesses at ${x.text(place)}`, guesses.slice(0, MOST_GUESSES)),
    lens(x, place),
    hideAnother(x, state, update),
    nextSentence(x),
  ];
}

/** The walk in two sentences. */
function whereFrom(x, place, best) {
  const found = x.data.evidence.find((each) => each.place === place);
  const helpers = found
    ? byFalling(found.integrated)
        .filter((each) => found.integrated[each] > 0)
        .slice(0, 3)
    : [];
  return [
    h(
      "p",
      {},
      indexed("W′", place + 1),
      ", the guess, is the most probable WordPiece: ",
      h("b", {}, best.piece),
      ". The model was not told which word stood here. The vector at [MASK] began as “a word is hidden” and took in, layer by layer, what the other tokens had to tell; of all words this one’s vector fits what came of it best.",
    ),
    h(
      "p",
      {},
      "What tokens tell, and what fits, the model knows from training: words of real text were hidden, and every matrix and vector changed little by little until the hidden words became more probable.",
    ),
    helpers.length > 0 &&
      h(
        "p",
        {},
        `What spoke most for “${best.piece}”: `,
        helpers.map((each, index) => [index ? ", " : "", h("b", {}, spoken(x, each))]),
        " (see Evidence).",
      ),
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
    h("h3", {}, "How it formed on the way up"),
    h(
      "p",
      {},
      "The vector at this place after each layer, put through the classification layer and softmax as if it were the last. In the lowest row it has taken in nothing from other tokens: that is what the place alone suggests.",
    ),
    tableOf(
      "The guess after each layer",
      ["after", "likeliest", { name: "probability of the first", number: true }],
      rows,
    ),
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
  return tableOf(caption, ["WordPiece", { name: "probability", number: true }], rows);
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
      "Click a word to hide it. The line under each tells how probable the model finds it when it is hidden: a pale line, a surprising word.",
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
      "In training it also learned to tell whether the second text follows the first. It reads that from O",
      sub("1"),
      ", the vector at [CLS]: a matrix and tanh, then another matrix, which makes two logits of it.",
    ),
    tableOf(
      "Next-sentence prediction",
      ["what it says", { name: "logit", number: true }, { name: "probability", number: true }],
      rows,
    ),
  ];
}
