// The walk: from the words to the guess, stop by stop, with this token's own numbers.

import { h } from "./draw.js";
import { drawStage, scrollStage } from "./stage.js";
import { attentionStop } from "./attention_stop.js";
import { embeddingsStop, feedForwardStop, outputStop, piecesStop } from "./encoder_stops.js";
import { answerStop, classificationStop, guessStop, softmaxStop, taskStop } from "./head_stops.js";

const ENCODER_STOPS = [
  { id: "pieces", name: "Words to WordPieces", draw: piecesStop },
  { id: "embeddings", name: "Embeddings", draw: embeddingsStop },
  { id: "attention", name: "Self-attention", draw: attentionStop },
  { id: "feed-forward", name: "Feed-forward", draw: feedForwardStop },
  { id: "output", name: "The output O", draw: outputStop },
];
const GUESS_STOPS = [
  { id: "classification", name: "Classification layer", draw: classificationStop },
  { id: "softmax", name: "Softmax over V", draw: softmaxStop },
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
    h(
      "div",
      { class: "walk" },
      h("section", { class: "stage-box", "aria-label": "BERT’s diagram" }, stage, steps(state, update, stops)),
      h(
        "section",
        { class: "panel", "aria-labelledby": "stop-name" },
        h("p", { class: "stop-number" }, `Stop ${state.stop + 1} of ${stops.length}`),
        h("h2", { id: "stop-name" }, stop.name),
        stop.draw(x, state, update),
      ),
    ),
    h("p", { class: "unseen", role: "status" }, `Stop ${state.stop + 1} of ${stops.length}: ${stop.name}`),
  );
  scrollStage(stage, before, state.place);
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
