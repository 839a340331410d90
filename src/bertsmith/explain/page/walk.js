// The walk: from the words to the guess, stop by stop, with this token's own numbers.

import { h } from "./draw.js";
import { drawStage, scrollStage } from "./stage.js";
import { attentionStop } from "./attention_stop.js";
import { embeddingsStop, feedForwardStop, outputStop, piecesStop } from "./encoder_stops.js";
import { guessStop } from "./guess_stop.js";
import { answerStop, classificationStop, softmaxStop, taskStop } from "./head_stops.js";

const ENCODER_STOPS = [
  { id: "pieces", name: "Words become tokens", draw: piecesStop },
  { id: "embeddings", name: "Embeddings: tokens become vectors", draw: embeddingsStop },
  { id: "attention", name: "Self-attention: tokens look at one another", draw: attentionStop },
  { id: "feed-forward", name: "Feed-forward: each vector by itself", draw: feedForwardStop },
  { id: "output", name: "The output O: the vector at the end", draw: outputStop },
];
const GUESS_STOPS = [
  { id: "classification", name: "Classification layer: from place to word", draw: classificationStop },
  { id: "softmax", name: "Softmax: a probability for every word", draw: softmaxStop },
  { id: "guess", name: "The guess W′", draw: guessStop },
];
const TASK_STOPS = [
  { id: "task", name: "The task’s head", draw: taskStop },
  { id: "answer", name: "The answer", draw: answerStop },
];

/** The stops that a model has. */
export function stopsOf(x) {
  return [...ENCODER_STOPS, ...(x.guesses ? GUESS_STOPS : []), ...(x.data.task ? TASK_STOPS : [])];
}

/** The view: the diagram, the stops, and what there is to see at the one that is reached. */
export function drawWalk(main, x, state, update) {
  const stops = stopsOf(x);
  const before = main.querySelector(".stage-scroll")?.scrollLeft;
  const stage = drawStage(x, state, update, stops);
  const stop = stops[state.stop];
  main.replaceChildren(
    h("p", { class: "lead" }, lead(x)),
    h(
      "div",
      { class: "walk" },
      h(
        "section",
        { class: "stage-box", "aria-label": "BERT’s diagram" },
        letters(x),
        stage,
        steps(state, update, stops),
      ),
      h(
        "section",
        { class: "panel", "aria-labelledby": "stop-name" },
        h("p", { class: "stop-number" }, `Stop ${state.stop + 1} of ${stops.length}`),
        h("h2", { id: "stop-name", tabindex: "-1" }, stop.name),
        stop.draw(x, state, update),
        onward(state, update, stops),
      ),
    ),
    h("p", { class: "unseen", role: "status" }, `Stop ${state.stop + 1} of ${stops.length}: ${stop.name}`),
  );
  scrollStage(stage, before, state.place);
}

/** What someone must know who has never seen one. */
function lead(x) {
  if (x.data.task) {
    return "BERT learned to guess words hidden in text, and then, from examples, to answer as it does here: follow a token up the diagram.";
  }
  const learned = "BERT has learned, from text alone, to guess hidden words. ";
  return x.masked.size && x.guesses
    ? [learned, h("b", { class: "mask" }, "[MASK]"), " hides one: follow it up the diagram, from no idea to a guess."]
    : [learned, "Follow any token up the diagram, to what the model takes it to mean here."];
}

/** The letters of the diagram, in its order. */
function letters(x) {
  const top = x.guesses ? [", guess ", h("var", {}, "W′")] : "";
  return h(
    "p",
    { class: "quiet key-line" },
    "From the bottom up: tokens ",
    h("var", {}, "W"),
    ", outputs ",
    h("var", {}, "O"),
    top,
    ". Click a token to follow it.",
  );
}

/** On to the next stop, from the end of this one; the next is read from its top. */
function onward(state, update, stops) {
  const next = stops[state.stop + 1];
  if (!next) return null;
  const go = () => {
    update({ stop: state.stop + 1 });
    document.getElementById("stop-name").focus({ preventScroll: true });
    document.querySelector(".walk").scrollIntoView();
  };
  return h("p", {}, h("button", { class: "step", id: "onward", onclick: go }, `Next: ${next.name} →`));
}

/** Arrow keys step along the stops. */
export function keyOfWalk(event, x, state, update) {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  const next = state.stop + step;
  if (!step || next < 0 || next >= stopsOf(x).length) return;
  event.preventDefault();
  update({ stop: next });
}

function steps(state, update, stops) {
  const dots = stops.map((stop, index) =>
    h(
      "li",
      {},
      h(
        "button",
        {
          class: "dot",
          id: `stop-${stop.id}`,
          "aria-label": `Stop ${index + 1}: ${stop.name}`,
          title: stop.name,
          "aria-current": index === state.stop ? "step" : null,
          onclick: () => update({ stop: index }),
        },
        index + 1,
      ),
    ),
  );
  const arrow = (id, name, step, end) =>
    h(
      "button",
      {
        class: "step",
        id,
        "aria-disabled": end ? "true" : null,
        onclick: () => end || update({ stop: state.stop + step }),
      },
      name,
    );
  return h(
    "div",
    { class: "steps" },
    arrow("back", "← Back", -1, state.stop === 0),
    h("ol", { "aria-label": "Stops" }, dots),
    arrow("forward", "Forward →", 1, state.stop === stops.length - 1),
  );
}
