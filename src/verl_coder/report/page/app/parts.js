"use strict";
// Small parts that several views share.
(() => {
  const { html } = htmPreact;

  VC.COLOURS = ["#2f6fde", "#d9622b", "#1f9d6b", "#b24bc4", "#b58900", "#d6336c", "#0b8fa8", "#7c6f64"];
  VC.colour = (place) => VC.COLOURS[place % VC.COLOURS.length];

  const RAISED = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };

  // 0.00001738 -> 1.74×10⁻⁵: of a number near zero its size is what counts.
  const small = (value, digits) => {
    const [mantissa, exponent] = value.toExponential(Math.min(digits, 3) - 1).split("e");
    return `${Number(mantissa)}×10${[...exponent].map((sign) => RAISED[sign]).join("")}`;
  };

  VC.show = (value, digits = 3) => {
    if (value === null || value === undefined || Number.isNaN(value)) return "–";
    if (typeof value !== "number") return String(value);
    if (Number.isInteger(value)) return value.toLocaleString("en");
    if (Math.abs(value) < 1e-4) return small(value, digits);
    return Math.abs(value) >= 1000 ? value.toLocaleString("en", { maximumFractionDigits: 0 }) : String(Number(value.toPrecision(digits)));
  };
  // Of a second, less than a thousandth is nothing.
  VC.seconds = (value, digits = 3) => (value > 0 && value < 0.001 ? "< 0.001" : VC.show(value, digits));
  VC.rate = (value) => (value === null || value === undefined ? "–" : value.toFixed(3));

  VC.duration = (seconds) => (typeof seconds !== "number" ? "–" : seconds < 120 ? `${Math.round(seconds)} s` : seconds > 5400 ? `${(seconds / 3600).toFixed(1)} h` : `${(seconds / 60).toFixed(1)} min`);

  VC.RunName = ({ run, place }) => html`<span class="run"><i style=${`background:${VC.colour(place)}`}></i><bdi>${VC.visible(run.name)}</bdi></span>`;

  // A rate with its 95 % interval as a whisker on a line from 0 to 1.
  VC.Interval = ({ estimate }) => {
    const { value, low, high } = estimate;
    const known = low !== null && low !== undefined && high !== null && high !== undefined;
    return html`<span class="interval" title=${known ? `95% interval ${VC.rate(low)} to ${VC.rate(high)}` : "no interval in the file"}>
      <b>${VC.rate(value)}</b>
      <span class="whisker" aria-hidden="true">
        ${known && html`<i style=${`left:${low * 100}%;width:${(high - low) * 100}%`}></i>`}
        <u style=${`left:${value * 100}%`}></u>
      </span>
      ${known && html`<small>${VC.rate(low)}–${VC.rate(high)}</small>`}
    </span>`;
  };

  const GOOD = new Set(["passed", "reward 1 or more"]);
  const BAD = new Set(["failed", "error", "timeout", "no_code", "reward 0 or less"]);
  VC.outcomeClass = (outcome) => (GOOD.has(outcome) ? "good" : BAD.has(outcome) ? "bad" : "other");
  VC.Outcome = ({ outcome }) => html`<span class=${`outcome ${VC.outcomeClass(outcome)}`}>${VC.visible(outcome.replaceAll("_", " "))}</span>`;

  const Notes = ({ runs, kind, words, open }) => {
    const lines = runs.flatMap((run, place) => run[kind].map((note) => [run, place, note]));
    if (!lines.length) return null;
    return html`<details class=${`card ${kind}`} open=${open && lines.length < 6}>
      <summary>${VC.count(lines.length, "part")} ${words}</summary>
      <ul>${lines.map(([run, place, note]) => html`<li><${VC.RunName} run=${run} place=${place} /> ${VC.visible(note)}</li>`)}</ul>
    </details>`;
  };

  VC.Missing = ({ runs }) => html`<${Notes} runs=${runs} kind="missing" words="missing or broken" open />
    <${Notes} runs=${runs} kind="to_come" words="not there yet" />`;

  // How many trajectories, as a link to them; to none there is no way.
  VC.ToTrajectories = ({ run, place }) => (run.trajectories ? html`<a href=${VC.address("trajectories", { run: place })}>${run.trajectories.toLocaleString("en")}</a>` : "0");

  // On a phone a table of many columns becomes a list: every value with the name of its column before it.
  const FEW_COLUMNS = 3;

  VC.Table = ({ head, rows, className = "" }) => {
    const many = head.length > FEW_COLUMNS && head.every((cell) => typeof cell === "string");
    const cells = (row) => (row.cells || row).map((cell, place) => (place ? html`<td data-name=${many ? head[place] : undefined}><span>${cell}</span></td>` : html`<th scope="row">${cell}</th>`));
    return html`<div class="scroll" tabindex="0"><table class=${`${className} ${many ? "many" : ""}`}>
      <thead><tr>${head.map((cell) => html`<th>${cell}</th>`)}</tr></thead>
      <tbody>${rows.map((row) => html`<tr class=${row.className || ""}>${cells(row)}</tr>`)}</tbody>
    </table></div>`;
  };
})();
