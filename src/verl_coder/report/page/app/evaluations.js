"use strict";
// Evaluations: pass@k with intervals, tools against none, and what the samples came to.
(() => {
  const { html, useState } = htmPreact;

  const named = (run, ...names) => {
    for (const name of names) for (const table of [run.settings, run.results]) if (table[name] !== undefined) return table[name];
    return "";
  };
  const short = (path) => String(path).replace(/\/+$/, "").split("/").slice(-2).join("/");
  const model = (run) => short(named(run, "model"));
  const data = (run) => {
    const given = named(run, "data");
    try { return [JSON.parse(given)].flat().map(short).join(", "); } catch { return short(given); }
  };
  // The YAML of the tools, else the protocol where one was asked for.
  const tools = (run) => {
    const [yaml, protocol] = [named(run, "tools"), named(run, "protocol")];
    if (yaml && yaml !== "null") return short(yaml).split("/").pop().replace(/\.ya?ml$/, "");
    return protocol && !["null", "none", "as the rows say"].includes(protocol) ? protocol : "none";
  };

  // What evaluations have in common that differ in their tools alone.
  const OF_TOOLS = new Set(["tools", "tools_text", "protocol", "k"]);
  const family = (run) => JSON.stringify(Object.entries(run.settings).filter(([name]) => !OF_TOOLS.has(name)).sort());

  const Rates = ({ runs }) => {
    const ks = [...new Set(runs.flatMap(({ run }) => Object.keys(run.pass_at_k)))].sort((a, b) => a - b);
    return html`<section class="card"><h2>pass@k</h2><${VC.Table}
      head=${["evaluation", "model", "tools", "data", "problems × samples", ...ks.map((k) => `pass@${k}`)]}
      rows=${runs.map(({ run, place }) => [
        html`<${VC.RunName} run=${run} place=${place} />`, VC.visible(model(run)), VC.visible(tools(run)), VC.visible(data(run)),
        `${named(run, "num_tasks") || "?"} × ${named(run, "num_samples_per_task") || "?"}`,
        ...ks.map((k) => (run.pass_at_k[k] ? html`<${VC.Interval} estimate=${run.pass_at_k[k]} />` : "–")),
      ])} /></section>`;
  };

  // Evaluations that differ in their tools alone, side by side.
  const ToolComparison = ({ runs }) => {
    const families = Map.groupBy ? Map.groupBy(runs, ({ run }) => family(run)) : new Map();
    const rows = [...families.values()].filter((members) => new Set(members.map(({ run }) => tools(run))).size > 1)
      .map((members) => [`${model(members[0].run)} on ${data(members[0].run)}`, members]);
    if (!rows.length) return null;
    const means = (run, name) => VC.show(run.counts.means[name]);
    return html`<section class="card"><h2>Tools compared</h2>${rows.map(([title, members]) => {
      const first = members.find(({ run }) => tools(run) === "none") || members[0];
      const base = first.run.pass_at_k["1"]?.value;
      return html`<h3>${VC.visible(title)}</h3><${VC.Table}
        head=${["tools", "pass@1", "against the first", "calls a sample", "samples that call", "calls that succeed", "turns", "tokens"]}
        rows=${[first, ...members.filter((member) => member !== first)].map(({ run, place }) => {
          const rate = run.pass_at_k["1"];
          return [
            html`<${VC.RunName} run=${run} place=${place} /> ${VC.visible(tools(run))}`, rate ? html`<${VC.Interval} estimate=${rate} />` : "–",
            rate && base !== undefined && run !== first.run ? `${rate.value >= base ? "+" : "−"}${Math.abs(rate.value - base).toFixed(3)}` : "",
            means(run, "calls"), means(run, "with_calls"), means(run, "success_share"), means(run, "turns"), means(run, "response_tokens"),
          ];
        })} />`;
    })}<p class="note">Whether a difference is more than noise: <code>verl-coder compare</code> pairs the problems.</p></section>`;
  };

  const points = (value) => `${value < 0 ? "−" : "+"}${Math.abs(100 * value).toFixed(1)}`;

  // What `verl-coder compare` said of these evaluations: problem by problem, with the test of its own.
  const Compared = ({ comparisons }) => comparisons.map(({ path, rows, missing }) => html`<section class="card compared"><h2>Compared, problem by problem</h2>
    ${rows.length > 0 && html`<${VC.Table}
      head=${["evaluation", "against", "problems in common", "pass@1", "points", "95% interval", "won, lost", "p"]}
      rows=${rows.map((row) => [
        VC.visible(row.second), VC.visible(row.first), VC.show(row.problems), `${VC.rate(row.before)} → ${VC.rate(row.after)}`, html`<b>${points(row.difference)}</b>`,
        row.low === null || row.high === null ? "–" : `${points(row.low)} to ${points(row.high)}`,
        `${VC.show(row.won)}, ${VC.show(row.lost)}`, html`<span title=${VC.visible(row.verdict)}>${VC.show(row.p_value, 2)}</span>`,
      ])} />`}
    ${missing.map((note) => html`<p class="error">${VC.visible(note)}</p>`)}
    <p class="note">p is two-sided, from the paired problems, and corrected for the number of comparisons (Holm). From ${VC.visible(short(path))}.</p></section>`);

  const Counts = ({ run, place }) => {
    const { samples, outcomes, finish_reasons: reasons, means } = run.counts;
    const share = (count) => `${((100 * count) / samples).toFixed(1)}%`;
    return html`<section class="card"><h3><${VC.RunName} run=${run} place=${place} /> <small>${VC.count(samples, "sample")}</small></h3>
      <p class="chips">${Object.entries(outcomes).map(([name, count]) => html`<a class="chip" href=${VC.address("trajectories", { run: place, outcome: name })}><${VC.Outcome} outcome=${name} /> ${count.toLocaleString("en")} <small>${share(count)}</small></a>`)}</p>
      <p class="chips">${Object.entries(means).map(([name, value]) => html`<span class="chip">${WORDS[name] || name} <b>${VC.show(value)}</b></span>`)}
        ${Object.entries(reasons).map(([name, count]) => html`<span class="chip">ends by ${VC.visible(name)} <b>${share(count)}</b></span>`)}</p>
      ${Object.entries(run.groups).filter(([, rows]) => rows.length > 1).map(([by, rows]) => {
        const ks = [...new Set(rows.flatMap((row) => Object.keys(row.pass_at_k)))].sort((a, b) => a - b);
        return html`<${VC.Table} head=${[`by ${by}`, "problems", ...ks.map((k) => `pass@${k}`)]}
          rows=${rows.map((row) => [VC.visible(row.name), row.problems ?? "–", ...ks.map((k) => (row.pass_at_k[k] ? html`<${VC.Interval} estimate=${row.pass_at_k[k]} />` : "–"))])} />`;
      })}
    </section>`;
  };

  const WORDS = {
    calls: "tool calls a sample", written_calls: "calls written, a sample", successes: "tool calls that succeed, a sample", with_calls: "share that calls", turns: "turns",
    response_tokens: "tokens a sample", seconds: "seconds a sample", success_share: "share of calls that succeed",
  };

  VC.Evaluations = ({ site, small }) => {
    const [open, setOpen] = useState(6);
    const runs = site.runs.map((run, place) => ({ run, place })).filter(({ run }) => run.kind === "evaluation");
    const training = site.runs.map((run, place) => ({ run, place })).filter(({ run }) => run.kind === "training" && run.held_out.length);
    if (!runs.length && !training.length) return html`<p class="empty">No evaluation was given.</p>`;
    return html`<div>
      ${runs.length > 0 && html`<${Rates} runs=${runs} /><${Compared} comparisons=${site.comparisons} /><${ToolComparison} runs=${runs} />`}
      ${!small && runs.slice(0, open).map(({ run, place }) => run.counts.samples > 0 && html`<${Counts} run=${run} place=${place} />`)}
      ${!small && runs.length > open && html`<button onClick=${() => setOpen(open + 12)}>show more of ${runs.length}</button>`}
      ${!small && site.ablation.length > 0 && html`<${VC.Ablation} rows=${site.ablation} />`}
      ${!small && training.length > 0 && html`<section class="card"><h2>While training</h2><${VC.Table}
        head=${["run", "step", "problems", "held-out pass@1, greedy"]}
        rows=${training.flatMap(({ run, place }) => run.held_out.slice(-50).map((point) => [
          html`<${VC.RunName} run=${run} place=${place} />`,
          run.trajectories ? html`<a href=${VC.address("trajectories", { run: place, step: point.step, kind: "held-out" })}>${point.step}</a>` : point.step,
          point.problems, html`<${VC.Interval} estimate=${point} />`]))} /></section>`}
    </div>`;
  };
})();
