// The page of a server: what is typed is asked for, and the newest answer shown.

import { openPage } from "./app.js";
import { Refused, ask, useKey } from "./client.js";
import { h } from "./draw.js";
import { Explanation } from "./explanation.js";
import { openForm } from "./sentence.js";
import { openTraining } from "./training.js";

const PAUSE_MS = 250; // in typing, after which is asked

const form = openForm(changed, choose);
const training = openTraining(reloaded);
const page = openPage(document.body, {
  above: form.element,
  views: [training],
  empty: "There is nothing to show yet.",
  turned: (view) => {
    training.inSight(view === "training");
    seekEvidence();
  },
});
let models = [], // what is known of each
  chosen = 0,
  asking = new AbortController(),
  timer = 0,
  shown = null;

page.show(null);
begin();

async function begin() {
  form.say("");
  try {
    models = (await ask("v1/models")).data.filter((card) => card.operations.includes("explain")); // exported ones do not
    training.use((await ask("v1/runs")).data);
  } catch (error) {
    if (error.status === 401) askForKey(error);
    else form.say(error.message, begin);
    return;
  }
  if (!models.length && !location.hash) location.replace("#training");
  page.show(null);
  if (models.length) choose(0);
  else form.say("There is no model to look into yet. The curves of a run that has not written one are under Training.");
}

/** A run's newest weights were read: this is the card of their model. */
function reloaded(card) {
  const place = models.findIndex((each) => each.id === card.id);
  if (place < 0) models.push(card);
  else models[place] = card;
  if (place < 0 || place === chosen) choose(place < 0 ? models.length - 1 : place);
}

function askForKey(error) {
  const field = h("input", { type: "password", id: "key", autocomplete: "off", required: true });
  const send = (event) => {
    event.preventDefault();
    useKey(field.value.trim());
    begin();
  };
  form.say(
    h(
      "form",
      { class: "key-form", onsubmit: send },
      h("label", { for: "key" }, "Key of this server"),
      field,
      h("button", { class: "step", id: "send-key" }, "Open"),
      h("span", { class: "quiet" }, "It is kept in this page alone, until you close or reload it."),
    ),
  );
  field.focus();
}

function choose(index) {
  chosen = index;
  form.use(models, chosen);
  form.answered(null);
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
  const found = await explain({ evidence: false, hidden_words: false }, "", () => refresh(follow));
  if (!found) return;
  shown = found;
  form.answered(found);
  page.show(found, follow && placeOf(found, follow));
  seekEvidence();
}

/** Evidence takes as long as dozens of readings, so it is sought where it is looked at. */
async function seekEvidence() {
  if (!shown || !shown.pending || page.view() !== "evidence") return;
  const found = await explain({ evidence: true }, "Seeking which words made it …", seekEvidence);
  if (!found) return;
  shown = found;
  form.answered(found);
  page.show(found, page.place());
}

/** An explanation, or null where another was asked for meanwhile, or none could be had, which is told. */
async function explain(how, message, again) {
  asking.abort();
  const { signal } = (asking = new AbortController());
  form.busy(true);
  form.say(message);
  try {
    const body = { model: models[chosen].id, ...form.body(), ...how };
    const answer = await ask("v1/explain", { body, signal });
    const found = await Explanation.open(answer.explanation);
    found.pending = !how.evidence;
    return signal.aborted ? null : found;
  } catch (error) {
    if (signal.aborted) return null;
    if (!(error instanceof Refused)) throw error;
    form.busy(false);
    form.say(shown ? `${error.message} Below is what came before.` : error.message, again);
    return null;
  }
}

/** The token over a character of a text. */
function placeOf(x, { segment, character }) {
  const place = x.tokens.findIndex(
    (token) => token.segment === segment && token.word !== null && token.start <= character && character < token.end,
  );
  return place < 0 ? null : place;
}
