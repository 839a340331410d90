// Which curves a run has, and their values as a table.

import { tableOf } from "./draw.js";
import { percent } from "./numbers.js";

const STAND = new Set(["kind", "step", "epochs", "tokens", "seconds", "tokens_per_s"]);
const FIGURES = {
  mlm_accuracy: "masked words right",
  nsp_accuracy: "next sentence right",
  nsp_baseline: "always the same answer",
};

/** What there is to draw: of pretraining its own four, of fine-tuning the figures on its development examples. */
export function chartsOf(records, across) {
  const train = records.filter((record) => record.kind === "train"),
    evaluated = records.filter((record) => record.kind === "evaluation");
  const curve = (from, key, name, more = {}) => ({
    name,
    key,
    ...more,
    points: from.filter((record) => Number.isFinite(record[key])).map((record) => [across.of(record), record[key]]),
  });
  const pretraining = records.some((record) => "mlm_loss" in record);
  const known = pretraining
    ? Object.keys(FIGURES)
    : [...new Set(evaluated.flatMap(Object.keys))].filter((key) => !STAND.has(key));
  const there = known.filter((key) => evaluated.some((record) => key in record));
  const loss = pretraining
    ? [
        curve(train, "mlm_loss", "training"),
        curve(evaluated, "mlm_loss", "held-out", { dots: true }),
        curve(evaluated, "frequency_loss", "guessing by word frequency", { dotted: true }),
      ]
    : [curve(train, "loss", "training")];
  const scores = there.map((key) =>
    curve(evaluated, key, FIGURES[key] ?? key, { dots: key !== "nsp_baseline", dotted: key === "nsp_baseline" }),
  );
  const charts = [
    {
      id: "loss",
      title: pretraining ? "Masked LM loss" : "Loss",
      unit: pretraining ? "nats a masked token" : "",
      series: loss,
    },
    {
      id: "scores",
      title: pretraining ? "Guessed right" : "On the development examples",
      unit: pretraining ? "share of the held-out" : "",
      series: scores,
    },
    { id: "rate", title: "Learning rate", unit: "", series: [curve(train, "learning_rate", "learning rate")] },
    { id: "speed", title: "Speed", unit: "tokens a second", series: [curve(train, "tokens_per_s", "tokens a second")] },
  ];
  return charts.map((each) => ({ ...each, series: each.series.map((one, tone) => ({ ...one, tone })) }));
}

/** Each curve's value where the reader stands, and its last. */
export function valuesTable(charts, across, at) {
  const place = at && across.of(at);
  const rows = charts.flatMap(({ title, series }) =>
    series
      .filter((each) => each.points.length > 0)
      .map((each) => {
        const upTo = at ? each.points.filter(([where]) => where <= place) : [];
        const tell = (point) => (point ? valueOf(each.key, point[1]) : "–");
        return {
          mark: "",
          cells: [
            title.toLowerCase() === each.name ? title : `${title}: ${each.name}`,
            tell(upTo.at(-1)),
            tell(each.points.at(-1)),
          ],
        };
      }),
  );
  if (!rows.length) return null;
  const number = (name) => ({ name, number: true });
  return tableOf(
    "Values",
    ["figure", number(at ? `at step ${at.step.toLocaleString("en")}` : "at the evaluation"), number("last")],
    rows,
  );
}

function valueOf(key, value) {
  if (key in FIGURES) return percent(value);
  return key === "tokens_per_s"
    ? Math.round(value).toLocaleString("en")
    : key === "learning_rate"
      ? value.toExponential(2).replace("-", "−")
      : value.toFixed(4);
}
