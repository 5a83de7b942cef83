"use strict";
// What was given, how far it came, and what is missing of it.
(() => {
  const { html } = htmPreact;

  function heldOut(run) {
    const found = run.held_out;
    if (!found.length) return ["–", "–", "–"];
    const last = found.at(-1);
    return [
      found[0].step === 0 ? html`<${VC.Interval} estimate=${found[0]} />` : "–",
      html`<${VC.Interval} estimate=${last} />`,
      run.best ? html`${VC.rate(run.best.value)} <small>step ${run.best.step}${run.best.checkpoint ? "" : ", no checkpoint"}</small>` : "–",
    ];
  }

  const last = (run, name) => (run.series[name] || []).findLast((value) => value !== null);

  // A run that did not evaluate while it trained has nothing held out: without any, the columns go.
  const HELD_OUT = ["base, held-out", "last, held-out", "best"];

  const TrainingTable = ({ runs, measured = runs.some(({ run }) => run.held_out.length) }) => html`<section class="card"><h2>Training runs</h2><${VC.Table}
    head=${["run", "state", ...(measured ? HELD_OUT : []), "reward, first → last", "tool calls, base → last", "trajectories", "wall time"]}
    rows=${runs.map(({ run, place }) => {
      const scores = (run.series["critic/score/mean"] || []).filter((value) => value !== null);
      const calls = (run.series["val-aux/tool_calls/mean"] || []).filter((value) => value !== null);
      const wall = run.summary.wall_s;
      return [
        html`<${VC.RunName} run=${run} place=${place} />`, VC.visible(run.state), ...(measured ? heldOut(run) : []),
        scores.length ? `${VC.rate(scores[0])} → ${VC.rate(scores.at(-1))}` : "–",
        calls.length ? `${VC.show(calls[0])} → ${VC.show(calls.at(-1))}` : "–",
        html`<${VC.ToTrajectories} run=${run} place=${place} />`,
        VC.duration(wall),
      ];
    })} /><p class="note">${measured ? "Held-out: greedy pass@1 with Wilson's 95% interval over the problems of one run. It says nothing of other seeds." : "No held-out problems were measured while these trained; evaluations have a table of their own."}</p></section>`;

  const FineTuning = ({ runs }) => html`<section class="card"><h2>Fine-tuning runs</h2><${VC.Table}
    head=${["run", "state", "traces learnt", "held out", "too long", "loss, first → last", "held-out loss, before → after", "time of the steps"]}
    rows=${runs.map(({ run, place }) => [
      html`<${VC.RunName} run=${run} place=${place} />`, VC.visible(run.state),
      ...["training", "held_out", "dropped_too_long"].map((name) => VC.show(run.rows[name])),
      `${VC.show(run.loss.first)} → ${VC.show(run.loss.last)}`, `${VC.show(run.loss.held_out_before)} → ${VC.show(run.loss.held_out_after)}`,
      VC.duration(run.seconds),
    ])} /><p class="note">The time of the steps is without loading the model, evaluating and saving.</p></section>`;

  const Phases = ({ runs }) => {
    const shown = runs.filter(({ run }) => run.summary.phases_s && typeof run.summary.phases_s === "object");
    if (!shown.length) return null;
    const names = [...new Set(shown.flatMap(({ run }) => Object.keys(run.summary.phases_s)))];
    return html`<section class="card"><h2>Seconds by phase</h2><${VC.Table} head=${["run", ...names]}
      rows=${shown.map(({ run, place }) => [html`<${VC.RunName} run=${run} place=${place} />`, ...names.map((name) => VC.seconds(run.summary.phases_s[name]))])} /></section>`;
  };

  const mean = (cell, digits) => (cell ? `${cell[0].toFixed(digits)}${cell[1] === null ? "" : ` ± ${cell[1].toFixed(digits)}`}` : "–");

  VC.Ablation = ({ rows }) => html`<section class="card"><h2>Arms of the ablation</h2><${VC.Table}
    head=${["arm", "seeds", "held-out pass@1", "tool calls a problem", "seconds a step"]}
    rows=${rows.map((row) => [VC.visible(row.arm), row.seeds, mean(row.pass_at_1, 3), mean(row.tool_calls, 2), mean(row.step_s, 1)])} />
    <p class="note">Mean over seeds ± half of the 95% interval by Student's t.</p></section>`;

  const Warnings = ({ runs }) => {
    const lines = runs.flatMap(({ run, place }) => run.warnings.map((text) => [run, place, text]));
    return lines.length ? html`<section class="card"><h2>Warnings</h2><ul>${lines.map(([run, place, text]) => html`<li><${VC.RunName} run=${run} place=${place} /> ${VC.visible(text)}</li>`)}</ul></section>` : null;
  };

  VC.Overview = ({ site, index }) => {
    const runs = site.runs.map((run, place) => ({ run, place }));
    const training = runs.filter(({ run }) => run.kind === "training");
    const sft = runs.filter(({ run }) => run.kind === "sft");
    return html`<div>
      <${VC.Missing} runs=${site.runs} />
      ${sft.length > 0 && html`<${FineTuning} runs=${sft} />`}
      ${training.length > 0 && html`<${TrainingTable} runs=${training} />`}
      <${VC.Curves} site=${site} small />
      ${site.ablation.length > 0 && html`<${VC.Ablation} rows=${site.ablation} />`}
      ${runs.some(({ run }) => run.kind === "evaluation") && html`<${VC.Evaluations} site=${site} small />`}
      <${Warnings} runs=${training} />
      <${Phases} runs=${training} />
    </div>`;
  };
})();
