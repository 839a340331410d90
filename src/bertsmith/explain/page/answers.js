// What a fine-tuned model says, drawn on the text.

import { bar, h, tableOf } from "./draw.js";
import { decimal, percent } from "./numbers.js";

const DRAWN = { classify: drawLabels, regress: drawScore, tag: drawSpans, answer: drawMarked, choose: drawChoices };

/** The answer; where words were hidden, what it was before is in its table, or below it. */
export function drawAnswer(x) {
  const { name, answer } = x.data.task;
  const inTable = name === "classify" || name === "choose";
  const below = x.before && !inTable && h("p", { class: "quiet" }, "With every word: ", verdict(x.before));
  return [DRAWN[name](x, answer), below];
}

/** It in a line. */
export function verdict({ name, answer }) {
  if (name === "classify")
    return (
      answer.labels.map((each) => `${each} (${percent(answer.probabilities[each])})`).join(", ") || "none of the labels"
    );
  if (name === "regress") return decimal(answer);
  if (name === "tag")
    return answer.spans.map((span) => `${span.text} (${span.label})`).join(", ") || "nothing is marked";
  if (name === "answer")
    return answer.no_answer ? "no answer in this text" : `“${answer.text}” (${percent(answer.score)})`;
  return `“${answer.text}” (${percent(answer.probabilities[answer.index])})`;
}

function drawLabels(x, answer) {
  const shares = Object.entries(answer.probabilities)
    .sort(([, a], [, b]) => b - a)
    .slice(0, 12);
  const rows = shares.map(([label, share]) => ({
    mark: answer.labels.includes(label) ? "followed" : "",
    cells: [h("b", {}, label), bar(share, percent(share)), ...shareBefore(x, (before) => before.probabilities[label])],
  }));
  return [
    h("p", { class: "verdict" }, answer.labels.length ? answer.labels.join(", ") : "none"),
    tableOf("Labels", ["label", ...shareColumns(x)], rows),
  ];
}

function drawScore(x, answer) {
  return [h("p", { class: "verdict" }, decimal(answer)), h("p", {}, "the score that this model gives")];
}

function drawChoices(x, answer) {
  const rows = answer.probabilities.map((share, index) => ({
    mark: index === answer.index ? "followed" : "",
    cells: [
      `choice ${index + 1}`,
      bar(share, percent(share)),
      ...shareBefore(x, (before) => before.probabilities[index]),
    ],
  }));
  return [h("p", { class: "verdict" }, answer.text), tableOf("Choices", ["choice", ...shareColumns(x)], rows)];
}

/** Of labels and choices: the probability, and the one before words were hidden. */
function shareColumns(x) {
  return ["probability", x.before && "with every word"].filter(Boolean).map((name) => ({ name, number: true }));
}

function shareBefore(x, probability) {
  return x.before ? [percent(probability(x.before.answer))] : [];
}

/** A text with some of its parts marked: { start, end, label, score }, in characters. */
function markedText(x, segment, marks) {
  const end = Array.from(x.data.texts[segment]).length;
  const pieces = [];
  let place = 0;
  for (const mark of [...marks].sort((a, b) => a.start - b.start)) {
    if (mark.start < place) continue;
    pieces.push(x.slice(segment, place, mark.start));
    pieces.push(
      h(
        "mark",
        {},
        x.slice(segment, mark.start, mark.end),
        h("span", { class: "mark-label" }, `${mark.label} ${percent(mark.score)}`),
      ),
    );
    place = mark.end;
  }
  return h("p", { class: "marked", dir: "auto" }, pieces, x.slice(segment, place, end));
}

function drawSpans(x, answer) {
  return [answer.spans.length ? null : h("p", {}, "Nothing is marked in this text."), markedText(x, 0, answer.spans)];
}

function drawMarked(x, answer) {
  const rows = answer.alternatives.map((span) => ({
    mark: "",
    cells: [`“${span.text}”`, bar(span.score, percent(span.score))],
  }));
  return [
    h("p", { class: "verdict" }, answer.no_answer ? "no answer in this text" : `“${answer.text}”`),
    h("p", {}, h("b", {}, "Question: "), x.data.texts[0]),
    markedText(x, 1, answer.no_answer ? [] : [{ ...answer, label: "answer" }]),
    rows.length > 0 && tableOf("Runners-up", ["text", { name: "probability", number: true }], rows),
  ];
}
