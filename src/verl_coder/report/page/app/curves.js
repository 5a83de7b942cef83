"use strict";
// The curves of training runs, laid over each other; a click on a step shows its trajectories.
(() => {
  const { html, useState } = htmPreact;
  const ALL = (name) => ({ name, metrics: [name] });

  const PANELS = [
    { title: "reward", overview: true, note: "training samples", metrics: ["critic/score/mean"], names: ["reward"] },
    { title: "held-out pass@1", overview: true, note: "greedy; the thin line is the base", heldOut: true },
    { title: "tool calls", overview: true, zero: true, metrics: ["tool_calls/mean", "val-aux/tool_calls/mean"], names: ["training", "held-out"] },
    { title: "loss of fine-tuning", overview: true, metrics: ["train/loss", "val/loss"], names: ["traces", "held-out traces"] },
    { title: "share of tool calls that succeed", metrics: ["tool_calls/success_rate", "eval/greedy/tool_calls/success_rate"], names: ["training", "held-out"], rate: true },
    { title: "turns", note: "the model's own", scale: 0.5, metrics: ["num_turns/mean", "eval/greedy/turns/mean"], names: ["training", "held-out"] },
    { title: "response length", zero: true, note: "tokens", metrics: ["response_length/mean", "response_length/max", "eval/greedy/response_tokens/mean"], names: ["mean", "longest", "held-out mean"] },
    { title: "prompt length", note: "tokens", metrics: ["prompt_length/mean", "prompt_length/max"], names: ["mean", "longest"] },
    { title: "entropy", metrics: ["actor/entropy", "rollout/entropy"], names: ["of the update", "of what was drawn"] },
    { title: "KL", metrics: ["actor/kl_loss", "actor/ppo_kl", "rollout_corr/kl"], names: ["to the reference", "of the update", "rollout to trainer"] },
    { title: "loss of each source", note: "without its weight", match: /^source\/(\w+)\/loss$/ },
    { title: "weight of each source", match: /^source\/(\w+)\/weight$/ },
    { title: "each source's share of the gradient", note: "of the logits", match: /^source\/(\w+)\/logit_gradient_share$/, rate: true },
    { title: "loss", metrics: ["actor/loss", "actor/pg_loss"], names: ["all terms", "policy"] },
    { title: "gradient norm", metrics: ["actor/grad_norm"], names: ["norm"] },
    { title: "curriculum stage", metrics: ["curriculum/stage"], names: ["stage"] },
    { title: "what went wrong", zero: true, note: "shares of the samples", metrics: ["sandbox/unavailable_share", "reward/sandbox_unavailable/mean", "reward/timeout/mean", "reward/no_code/mean", "response_length/clip_ratio", "response/aborted_ratio", "eval/greedy/cut_off"], names: ["no verdict (sandbox)", "no verdict (reward)", "time-out", "no code", "cut off", "aborted", "cut off, held-out"] },
    { title: "seconds a step", zero: true, seconds: true, metrics: ["timing_s/step", "timing_s/gen", "timing_s/testing"], names: ["all", "generate", "evaluate"] },
  ];

  function heldOutLines(run, place) {
    const lines = [];
    const found = run.held_out;
    if (!found.length) return lines;
    const steps = found.map((point) => point.step);
    lines.push({ label: `${run.name}`, steps, values: found.map((point) => point.value), dash: 0, colour: VC.colour(place), points: true, place });
    if (found[0].step === 0) lines.push({ label: `${run.name}, base`, steps, values: [], flat: found[0].value, dash: 2, colour: VC.colour(place), place });
    return lines;
  }

  // Whether no eye tells two lines apart: nowhere a thousandth of the first one's spread between them.
  function alike(a, b) {
    const spread = Math.max(...a.values) - Math.min(...a.values);
    return a.heldOut === b.heldOut && a.steps.length === b.steps.length
      && a.steps.every((step, i) => step === b.steps[i] && Math.abs(a.values[i] - b.values[i]) <= spread / 1000);
  }

  // Of a run's lines that lie upon each other one is drawn, with the names of all: the others would be seen nowhere.
  function together(lines) {
    const found = [];
    for (const line of lines) {
      const first = found.find((other) => alike(other, line));
      if (first) first.label = first.before + (first.word += `, ${line.word}`);
      else found.push(line);
    }
    return found;
  }

  function panelLines(panel, runs, weight) {
    return runs.flatMap(({ run, place }) => {
      if (panel.heldOut) return heldOutLines(run, place);
      const metrics = panel.match ? Object.keys(run.series).filter((name) => panel.match.test(name)) : panel.metrics;
      return together(metrics.flatMap((metric, dash) => {
        const values = run.series[metric];
        if (!values || values.every((value) => value === null)) return [];
        const word = panel.match ? panel.match.exec(metric)[1] : panel.names ? panel.names[dash] : metric;
        const before = runs.length > 1 ? `${run.name}: ` : "";
        const known = values.map((value, i) => i).filter((i) => values[i] !== null);
        const kept = known.map((i) => values[i] * (panel.scale || 1));
        return [{ before, word, label: before + word, steps: known.map((i) => run.steps[i]), values: VC.smoothed(kept, weight), dash, colour: VC.colour(place), place, heldOut: /^(val-|eval)/.test(metric) }];
      }));
    });
  }

  // Layers of seconds by phase of one run, as sums from below.
  function phaseLines(run) {
    const names = Object.entries(run.phases).filter(([, key]) => run.series[key]?.some((value) => value > 0));
    const rows = run.steps.map((step, i) => i).filter((i) => run.series["timing_s/step"]?.[i] !== null);
    let below = rows.map(() => 0);
    const lines = names.map(([word, key], layer) => {
      below = below.map((sum, j) => sum + (run.series[key][rows[j]] || 0));
      return { label: word, steps: rows.map((i) => run.steps[i]), values: below, own: rows.map((i) => run.series[key][i] || 0), dash: 0, colour: VC.colour(layer) };
    });
    return lines.reverse();
  }

  VC.Curves = ({ site, params, small }) => {
    const [hidden, setHidden] = useState(new Set());
    const [weight, setWeight] = useState(0);
    const [wanted, setWanted] = useState("");
    const all = site.runs.map((run, place) => ({ run, place })).filter(({ run }) => run.kind !== "evaluation" && run.steps.length);
    const runs = all.filter(({ place }) => !hidden.has(place));
    if (!all.length) return small ? null : html`<p class="empty">No training run with metrics was given: there are no curves.</p>`;
    const step = (panel) => (at, line) => (!line || site.runs[line.place].trajectories > 0) && VC.go("trajectories", {
      step: at, run: line ? line.place : runs.length === 1 ? runs[0].place : "",
      kind: panel.heldOut || line?.heldOut ? "held-out" : panel.metrics?.[0]?.startsWith("critic") ? "training" : "",
    });
    const panels = (small ? PANELS.filter((panel) => panel.overview) : PANELS).map((panel) => [panel, panelLines(panel, runs, weight)]).filter(([, lines]) => lines.length);
    const metrics = [...new Set(all.flatMap(({ run }) => Object.keys(run.series)))].sort();
    const toggle = (place) => { const next = new Set(hidden); if (!next.delete(place)) next.add(place); setHidden(next); };
    return html`<div>
      ${!small && html`<div class="bar">
        ${all.length > 1 && all.map(({ run, place }) => html`<label class="pill"><input type="checkbox" checked=${!hidden.has(place)} onChange=${() => toggle(place)} /> <${VC.RunName} run=${run} place=${place} /></label>`)}
        <label>smooth <select value=${weight} onChange=${(event) => setWeight(Number(event.target.value))}>
          ${[0, 0.5, 0.8, 0.95].map((value) => html`<option value=${value}>${value || "no"}</option>`)}</select></label>
        <label>any metric <input list="metrics" value=${wanted} placeholder=${`one of ${metrics.length}`} onInput=${(event) => setWanted(event.target.value)} /></label>
        <datalist id="metrics">${metrics.map((name) => html`<option value=${name} />`)}</datalist>
      </div>`}
      <div class="charts">
        ${!small && metrics.includes(wanted) && html`<${VC.Chart} key=${wanted} title=${wanted} lines=${panelLines({ ...ALL(wanted), names: [wanted.split("/").at(-1)] }, runs, weight)} onStep=${step({})} />`}
        ${panels.map(([panel, lines]) => html`<${VC.Chart} key=${panel.title} title=${panel.title} note=${panel.note} rate=${panel.rate || panel.heldOut} zero=${panel.zero} seconds=${panel.seconds} lines=${lines} onStep=${step(panel)} />`)}
        ${!small && runs.filter(({ run }) => run.phases && run.series["timing_s/step"]).slice(0, 8).map(({ run, place }) => html`<${VC.Chart} key=${`phases ${place}`} title="seconds by phase" note=${`${VC.visible(run.name)}; the layers add up`} lines=${phaseLines(run)} layers seconds onStep=${(at) => run.trajectories > 0 && VC.go("trajectories", { step: at, run: place })} />`)}
      </div>
    </div>`;
  };
})();
