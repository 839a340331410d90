// The page of a server: what is typed is asked for, and the newest answer shown.

import { openPage } from "./app.js";
import { Refused, ask, useKey } from "./client.js";
import { h } from "./draw.js";
import { Explanation } from "./explanation.js";
import { openOthers } from "./others.js";
import { openForm } from "./sentence.js";
import { openTraining } from "./training.js";

const PAUSE_MS = 250; // in typing, after which is asked
const QUICK = { evidence: false, hidden_words: false };

const form = openForm(changed, choose);
const others = openOthers(layBeside);
const training = openTraining(reloaded);
const page = openPage(document.body, {
  above: form.element,
  views: [training],
  empty: "There is nothing to show yet.",
  turned: (view) => {
    training.inSight(view === "training");
    seek();
  },
});
let models = [], // what is known of each
  chosen = 0,
  asking = new AbortController(),
  timer = 0,
  shown = null,
  unhidden = {}, // the texts, no word of them hidden, and what a fine-tuned model said of them
  sought = {}, // for which explanation in which view more was asked for
  keyGiven = false;

page.show(null);
begin();

async function begin() {
  form.say("");
  try {
    models = await cards();
    training.use((await ask("v1/runs")).data);
  } catch (error) {
    if (error.status === 401) askForKey();
    else form.say(error.message, begin);
    return;
  }
  if (!models.length && !location.hash) location.replace("#training");
  page.show(null);
  if (models.length) choose(0);
  else form.say("There is no model to look into yet. The curves of a run that has not written one are under Training.");
}

async function cards() {
  const { data } = await ask("v1/models");
  return data.filter((card) => card.operations.includes("explain")); // exported ones do not
}

/** A run's newest weights were read: this is the card of their model. */
function reloaded(card) {
  const place = models.findIndex((each) => each.id === card.id);
  if (place < 0) models.push(card);
  else models[place] = card;
  if (place < 0) choose(models.length - 1);
  else if (place === chosen || others.names().includes(card.id)) choose(chosen);
}

function askForKey() {
  const field = h("input", { type: "password", id: "key", autocomplete: "off", required: true });
  const send = (event) => {
    event.preventDefault();
    useKey(field.value.trim());
    keyGiven = true;
    begin();
  };
  form.say(
    h(
      "form",
      { class: "key-form", onsubmit: send },
      h("label", { for: "key" }, "Key of this server"),
      field,
      h("button", { class: "step", id: "send-key" }, "Open"),
      keyGiven && h("strong", { id: "wrong-key" }, "This is no key of this server."),
      h("span", { class: "quiet" }, "It is kept in this page alone, until you close or reload it."),
    ),
  );
  field.focus();
}

function choose(index) {
  chosen = index;
  form.use(models, chosen);
  others.use(models[chosen]);
  form.answered(null);
  unhidden = {};
  page.show((shown = null));
  refresh();
}

function changed({ clicked, follow = null }) {
  clearTimeout(timer);
  asking.abort();
  form.busy(true);
  if (clicked) refresh(follow);
  else timer = setTimeout(refresh, PAUSE_MS);
}

/** Ask about what stands in the form. */
async function refresh(follow = null) {
  const beside = page.view() === "compare" ? comparison() : {};
  const found = await explain(beside, "", () => refresh(follow));
  if (!found) return;
  take(found, follow && placeOf(found, follow));
}

/** What takes longer than the guess is sought where it is looked at, once. */
function seek() {
  const view = page.view();
  if (!shown || (sought.shown === shown && sought.view === view)) return;
  sought = { shown, view };
  if (view === "evidence" && shown.pending) seekEvidence();
  if (view === "compare" && !shown.data.beside.length) lookForOthers();
}

async function seekEvidence() {
  const how = { evidence: true, hidden_words: true };
  const found = await explain(how, "Seeking which words made it …", seekEvidence);
  if (found) take(found, page.place());
}

/** A run that trains on has other steps than a moment ago, so it is asked which there are. */
async function lookForOthers() {
  const before = shown;
  try {
    const card = (await cards()).find((each) => each.id === models[chosen].id);
    if (card) others.use((models[chosen] = card));
  } catch (error) {
    if (!(error instanceof Refused)) throw error; // what is asked next will tell
  }
  if (shown !== before || page.view() !== "compare") return;
  if (others.names().length) layBeside();
  else page.draw();
}

async function layBeside() {
  const found = await explain(comparison(), `Laying ${others.called()} beside it …`, layBeside);
  if (found) take(found, page.place());
}

function comparison() {
  const names = others.names();
  return names.length ? { compare: names } : {};
}

function take(found, place) {
  shown = found;
  form.answered(found);
  page.show(found, place);
  seek();
}

/** An explanation, or null where another was asked for meanwhile, or none could be had, which is told. */
async function explain(how, message, again) {
  asking.abort();
  const { signal } = (asking = new AbortController());
  form.busy(true);
  form.say(message);
  try {
    const [explanation, before] = await read(how, signal);
    const found = await Explanation.open(explanation);
    Object.assign(found, { before, pending: !how.evidence, others });
    return signal.aborted ? null : found;
  } catch (error) {
    if (signal.aborted) return null;
    if (!(error instanceof Refused)) throw error;
    form.busy(false);
    form.say(shown ? `${error.message} Below is what came before.` : error.message, again);
    return null;
  }
}

/** An explanation of what stands in the form; of a fine-tuned model also its answer where no word is hidden, if one is. */
async function read(how, signal) {
  const { id: model, task } = models[chosen];
  const reading = async (words, more) =>
    (await ask("v1/explain", { body: { model, ...words, ...QUICK, ...more }, signal })).explanation;
  const [words, whole] = [form.body(), form.body({ whole: true })];
  const name = JSON.stringify(whole);
  if (!task || name === JSON.stringify(words)) {
    const found = await reading(words, how);
    unhidden = { name, task: found.task };
    return [found, null];
  }
  if (unhidden.name !== name) unhidden = { name, task: (await reading(whole, {})).task };
  return [await reading(words, how), unhidden.task];
}

/** The token over a character of a text. */
function placeOf(x, { segment, character }) {
  const place = x.tokens.findIndex(
    (token) => token.segment === segment && token.word !== null && token.start <= character && character < token.end,
  );
  return place < 0 ? null : place;
}
