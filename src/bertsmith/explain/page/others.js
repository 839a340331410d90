// What the live page lays beside a model: another that its server has, a step of a run, or a run step by step.

import { h, picker } from "./draw.js";

const MOST_AT_ONCE = 6; // others that a server lays beside a model in one answer

/** The choice, which the view Compare draws; `changed` hears of it. */
export function openOthers(changed) {
  let model = "",
    choices = [],
    chosen = 0;
  return {
    /** Of this model, as its card says; what was chosen stays chosen where it is still there. */
    use(card) {
      const before = choices[chosen]?.name;
      model = card.id;
      choices = [...card.compares.map((name) => ({ name, names: [name] })), ...everyStep(card.compares)];
      chosen = Math.max(
        0,
        choices.findIndex((each) => each.name === before),
      );
    },
    /** The names to ask for; none where there is nothing to be laid beside the model. */
    names: () => choices[chosen]?.names ?? [],
    /** What that is called. */
    called: () => choices[chosen]?.name ?? "",
    draw() {
      if (!choices.length) return nothingAlike(model);
      const take = (index) => {
        chosen = index;
        changed();
      };
      return picker(
        "other",
        "Compare with",
        choices.map((each) => each.name),
        chosen,
        take,
      );
    },
  };
}

/** Of each run with several steps all of them, or as many as are laid beside a model at once, evenly. */
function everyStep(names) {
  const runs = new Set(names.map(runOf).filter(Boolean));
  return Array.from(runs, (run) => ({
    name: `${run}, step by step`,
    names: spread(names.filter((name) => runOf(name) === run)),
  })).filter((each) => each.names.length > 1);
}

const runOf = (name) => /^(.+)\/step-\d+$/.exec(name)?.[1];

function spread(steps) {
  const last = Math.min(steps.length, MOST_AT_ONCE) - 1;
  return Array.from({ length: last + 1 }, (_, index) => steps[last && Math.round((index * (steps.length - 1)) / last)]);
}

function nothingAlike(model) {
  return h(
    "div",
    { class: "note" },
    h("p", {}, `There is no other model here that can be laid beside ${model}.`),
    h(
      "p",
      {},
      "Models of one shape and vocabulary are compared, such as a model and what it was fine-tuned from, or a run and its steps. Serve a second one with it: ",
      h("code", {}, `bertsmith serve ${model} OTHER`),
    ),
  );
}
