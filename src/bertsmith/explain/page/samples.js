// Held-out sentences with the same masks at each evaluation, and what the model guessed there.

import { h, tableOf } from "./draw.js";
import { percent } from "./numbers.js";

/** What `samples.jsonl` says of an evaluation. */
export function drawSamples(evaluation, lines) {
  const found = evaluation && lines.find((line) => line.step === evaluation.step);
  if (!found) return null;
  return [
    h("h3", {}, "The same masks, guessed anew"),
    h(
      "p",
      { class: "quiet" },
      "Held-out sentences. Each mark is a [MASK] with its likeliest guess: ✓ what stood there, ✗ not.",
    ),
    found.sentences.map((sentence, index) => [drawSentence(sentence), allGuesses(sentence, index)]),
  ];
}

function drawSentence({ tokens, masks }) {
  const at = new Map(masks.map((mask) => [mask.place, mask]));
  return h(
    "p",
    { class: "marked", dir: "auto" },
    tokens.map((token, place) => [
      place > 0 && !token.startsWith("##") ? " " : "",
      at.has(place) ? drawMask(at.get(place)) : token.replace(/^##/, ""),
    ]),
  );
}

function drawMask({ hidden, guesses }) {
  const [[guess, share]] = guesses;
  const right = guess === hidden;
  return h(
    "mark",
    { class: right ? "right" : "wrong" },
    right ? "✓ " : "✗ ",
    guess,
    h("span", { class: "mark-label" }, percent(share)),
  );
}

function allGuesses({ masks }, index) {
  const rows = masks.map(({ hidden, guesses }) => ({
    mark: guesses[0][0] === hidden ? "followed" : "",
    cells: [h("b", {}, hidden), guesses.map(([piece, share]) => `${piece} ${percent(share)}`).join(", ")],
  }));
  return h(
    "details",
    { id: `guesses-${index}` },
    h("summary", { id: `summary-${index}` }, `Every guess in sentence ${index + 1}`),
    tableOf(`Guesses in sentence ${index + 1}`, ["what was hidden", "guessed"], rows),
  );
}
