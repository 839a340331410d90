// Training: the curves of a run as it writes them, and what it guesses at the same masks at each evaluation.

import { chart, short } from "./chart.js";
import { ask } from "./client.js";
import { chartsOf, valuesTable } from "./curves.js";
import { h, picker } from "./draw.js";
import { drawSamples } from "./samples.js";

const EVERY_MS = 2000;
const ACROSS = [
  { name: "steps", of: (record) => record.step },
  { name: "tokens", of: (record) => record.tokens },
  { name: "minutes", of: (record) => record.seconds / 60 },
];

/** The view. `reloaded` hears the card of a model whose newest weights were read. */
export function openTraining(reloaded) {
  let runs = [],
    chosen = { run: 0, part: null, across: 0, log: false, evaluation: null }, // null: the first part, the last evaluation
    following = new AbortController(),
    wake = () => {},
    written = nothing();
  const [head, problem, figures, samples] = ["head", "problem status", "charts", "samples"].map((name) =>
    h("div", { class: name }),
  );
  problem.setAttribute("role", "status");
  const pickers = h("div", { class: "pickers" });
  const slider = h("input", {
    type: "range",
    id: "evaluation",
    min: 0,
    oninput: (event) => stand(Number(event.target.value)),
  });
  const where = h("output", { for: "evaluation", id: "where" });
  const box = h(
    "div",
    { class: "training" },
    h("section", { "aria-labelledby": "run-name" }, h("h2", { id: "run-name" }, "Training"), head, problem, pickers),
    figures,
    h(
      "section",
      { "aria-labelledby": "at-evaluation" },
      h("h2", { id: "at-evaluation" }, "At each evaluation"),
      h("label", { class: "slider" }, "Evaluation ", slider),
      where,
      samples,
    ),
  );

  const run = () => runs[chosen.run];
  const part = () => (run().parts.includes(chosen.part) ? chosen.part : (run().parts[0] ?? "")); // more may come
  const evaluations = () => written.metrics.filter((record) => record.kind === "evaluation");
  const standing = () => {
    const all = evaluations();
    return all[chosen.evaluation ?? all.length - 1] ?? null;
  };
  const stand = (index) => {
    chosen.evaluation = index >= evaluations().length - 1 ? null : index;
    draw();
  };
  const choose = (change) => {
    Object.assign(chosen, change);
    drawPickers();
    if ("run" in change || "part" in change) follow();
    else draw();
  };

  /** Ask every two seconds for what is new, while this view is in sight. */
  async function follow() {
    leave();
    const { signal } = (following = new AbortController());
    written = nothing();
    chosen.evaluation = null;
    draw();
    for (; !signal.aborted; await pause()) {
      if (document.hidden) continue;
      try {
        let added = false;
        for (const kind of ["metrics", "samples"]) added = (await readOn(kind, signal)) || added;
        problem.replaceChildren();
        if (added) draw();
        else drawHead();
      } catch (error) {
        if (signal.aborted) return;
        problem.replaceChildren(`${error.message} It is asked again every two seconds.`);
      }
    }
  }

  const pause = () =>
    new Promise((resolve) => {
      wake = resolve;
      setTimeout(resolve, EVERY_MS);
    });
  const leave = () => {
    following.abort();
    wake();
  };

  /** Take in what was added to a journal; whether there was anything. */
  async function readOn(kind, signal) {
    let added = false;
    for (let more = true; more;) {
      const words = new URLSearchParams({ model: run().id, part: part(), of: kind, since: written.cursors[kind] });
      const answer = await ask(`v1/training?${words}`, { signal });
      if (signal.aborted) return false;
      if (answer.anew) written[kind] = [];
      for (const record of answer.records) written[kind].push(record);
      added ||= answer.anew || answer.records.length > 0;
      written.cursors[kind] = answer.cursor;
      more = answer.more;
      const others = answer.run.parts.join() !== run().parts.join();
      runs[chosen.run] = answer.run;
      if (others) drawPickers();
    }
    return added;
  }

  async function reload() {
    try {
      reloaded(await ask("v1/reload", { body: { model: run().id } }));
    } catch (error) {
      problem.replaceChildren(error.message);
    }
  }

  const drawPickers = () => {
    const names = run().parts.map((name) => name || "the run");
    pickers.replaceChildren(
      ...[
        runs.length > 1 &&
          picker(
            "run",
            "Run",
            runs.map((each) => each.id),
            chosen.run,
            (index) => choose({ run: index, part: null }),
          ),
        names.length > 1 &&
          picker("part", "Part", names, run().parts.indexOf(part()), (index) => choose({ part: run().parts[index] })),
        picker(
          "across",
          "Over",
          ACROSS.map((each) => each.name),
          chosen.across,
          (index) => choose({ across: index }),
        ),
        h(
          "label",
          { class: "picker" },
          h("input", {
            type: "checkbox",
            id: "log",
            checked: chosen.log,
            onchange: (event) => choose({ log: event.target.checked }),
          }),
          "Loss on a logarithmic scale",
        ),
      ].filter(Boolean),
    );
  };

  const drawHead = () => {
    const made = h("div", {}, told(run(), written.metrics, reload));
    if (made.textContent !== head.textContent) head.replaceChildren(...made.childNodes);
  };
  const draw = () => {
    if (!runs.length) return;
    drawHead();
    const across = ACROSS[chosen.across];
    const all = evaluations(),
      at = standing();
    const pick = (place) => all.length && stand(nearest(all.map(across.of), place));
    const shared = { across: across.name, at: at && across.of(at), choose: pick, small: window.innerWidth < 640 };
    const charts = chartsOf(written.metrics, across);
    figures.replaceChildren(
      ...charts.map((each) => h("section", {}, chart({ ...each, ...shared, log: chosen.log && each.id === "loss" }))),
    );
    slider.max = Math.max(0, all.length - 1);
    slider.value = chosen.evaluation ?? all.length - 1;
    slider.disabled = all.length < 2;
    const name = at
      ? `${(chosen.evaluation ?? all.length - 1) + 1} of ${all.length}, after step ${at.step.toLocaleString("en")}`
      : "none yet";
    slider.setAttribute("aria-valuetext", name);
    where.textContent = name;
    const open = Array.from(samples.querySelectorAll("details[open]"), (each) => each.id),
      focused = document.activeElement?.id;
    samples.replaceChildren(h("div", {}, valuesTable(charts, across, at), drawSamples(at, written.samples)));
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  };

  document.addEventListener("visibilitychange", () => wake());
  return {
    id: "training",
    name: "Training",
    there: () => runs.length > 0,
    titled: () => [
      h("h1", {}, "How a model ", h("span", { class: "mask" }, "learns")),
      h("p", { class: "quiet" }, "What its run has written so far; new lines come by themselves."),
    ],
    draw(main) {
      if (main.firstChild !== box) main.replaceChildren(box);
    },
    /** The runs there are; `name` is the one to begin with. */
    use(found, name = null) {
      runs = found;
      chosen.run = Math.max(
        0,
        runs.findIndex((each) => each.id === name),
      );
      if (runs.length) drawPickers();
    },
    /** Whether it is looked at. */
    inSight(whether) {
      leave();
      if (whether && runs.length) follow();
    },
  };
}

const nothing = () => ({ metrics: [], samples: [], cursors: { metrics: "", samples: "" } });

function nearest(places, place) {
  return places.reduce(
    (best, each, index) => (Math.abs(each - place) < Math.abs(places[best] - place) ? index : best),
    0,
  );
}

/** Whether it goes on. */
function pulseOf({ finished, running, quiet_s: quiet }) {
  if (finished) return "finished";
  if (running === false) return "stopped; the command that began it goes on with it";
  if (quiet === null) return "waiting for its first line";
  return quiet < 60 ? "under way" : `quiet for ${short(quiet / 60)} minutes`;
}

/** Where the run stands, in words, and its newest weights. */
function told(run, records, reload) {
  const { settings, weights } = run;
  const last = records.at(-1);
  const whole = ["steps", "epochs", "minutes"].find((name) => settings[name]);
  const done = last && { steps: last.step, epochs: last.epochs, minutes: last.seconds / 60 }[whole];
  const what = [settings.architecture, settings.size, settings.objective ?? settings.task].filter(Boolean).join(" ");
  const stand = last
    ? [
        `step ${last.step.toLocaleString("en")}`,
        whole && `${short(done)} of ${settings[whole].toLocaleString("en")} ${whole}`,
        `${short(last.tokens)} tokens`,
      ]
    : ["nothing is written yet"];
  const model = {
    none: h(
      "p",
      { class: "note" },
      "It has not written a model yet, so there is none to look into: ",
      settings.task ? "fine-tuning writes its best one at the end." : "its first checkpoint will be one.",
    ),
    newer: h(
      "p",
      { class: "note" },
      "It has written weights that are newer than those the other views show. ",
      h("button", { class: "step", id: "reload", onclick: reload }, "Read the newest weights"),
    ),
  }[weights];
  return [
    h("p", {}, h("b", {}, run.id), what && ` · ${what}`, " · ", [...stand.filter(Boolean), pulseOf(run)].join(" · ")),
    model,
  ].filter(Boolean);
}
