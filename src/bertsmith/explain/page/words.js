// A text in which words can be hidden: each is [MASK] in it then, and remembered for when it is shown again.

export const MASK = "[MASK]";
const WORDS = /\[MASK\]|\p{Script=Han}|[\p{L}\p{N}][\p{L}\p{M}\p{N}]*/gu;

export class MaskedText {
  constructor(text = "") {
    this.text = text;
    this.hidden = masksIn(text).map(() => null); // what each [MASK] hides; null where it was typed
  }

  /** Its words, and what stands between: { start, text, word, mask }, of a [MASK] its number. */
  parts() {
    const parts = [];
    let end = 0,
      masks = 0;
    for (const { 0: text, index: start } of this.text.matchAll(WORDS)) {
      if (start > end) parts.push({ start: end, text: this.text.slice(end, start), word: false });
      parts.push({ start, text, word: true, mask: text === MASK ? masks++ : null });
      end = start + text.length;
    }
    if (end < this.text.length) parts.push({ start: end, text: this.text.slice(end), word: false });
    return parts;
  }

  /** The text with every word shown that is remembered. */
  whole() {
    let mask = 0;
    return this.text.replaceAll(MASK, (typed) => this.hidden[mask++] ?? typed);
  }

  /** The words that are hidden and remembered. */
  remembered() {
    return this.hidden.filter((word) => word !== null);
  }

  /** Hide a word, or show one that is hidden; `guess`, which may be nothing, is put where none is remembered. */
  toggle({ start, text, mask }, guess) {
    const shown = mask === null ? MASK : (this.hidden[mask] ?? guess);
    if (mask === null) this.hidden.splice(masksIn(this.text.slice(0, start)).length, 0, text);
    else this.hidden.splice(mask, 1);
    this.text = this.text.slice(0, start) + shown + this.text.slice(start + text.length);
  }

  /** Take what was typed; masks before and after the place that changed keep what they hide. */
  edit(text) {
    const was = this.text,
      shorter = Math.min(was.length, text.length);
    let first = 0,
      last = 0;
    while (first < shorter && was[first] === text[first]) first++;
    while (last < shorter - first && was[was.length - 1 - last] === text[text.length - 1 - last]) last++;
    const before = masksIn(was.slice(0, first)).length,
      after = masksIn(was.slice(was.length - last)).length;
    const typed = masksIn(text).length - before - after;
    const kept = this.hidden;
    this.hidden = [...kept.slice(0, before), ...Array(typed).fill(null), ...kept.slice(kept.length - after)];
    this.text = text;
  }

  /** How many characters, as Python counts them, stand before a place. */
  characters(place) {
    return Array.from(this.text.slice(0, place)).length;
  }
}

function masksIn(text) {
  return text.split(MASK).slice(1);
}
