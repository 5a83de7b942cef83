"use strict";
// One trajectory: its prompt, turn by turn what the model wrote and what came back, the verdict and the reward.
(() => {
  const { html, useEffect, useState } = htmPreact;
  const LANGUAGES = { python: "python", py: "python", python3: "python", json: "json" };

  // The content of a row once its chunk is there: {found} or {error}.
  VC.useTrajectory = (index, row, built) => {
    const [state, setState] = useState({});
    useEffect(() => {
      let current = true;
      setState((before) => (before.row === row ? before : {}));
      VC.loadTrajectory(index, row).then(
        (found) => current && setState({ row, found }),
        (error) => current && setState({ row, error: error.message }),
      );
      return () => { current = false; };
    }, [index, row, built]);
    return state.row === row ? state : {};
  };

  const Model = ({ piece, number }) => html`<section class="turn model"><h4>model, turn ${number}</h4>
    ${VC.pieces(piece[1]).map((part) => part.kind === "code"
      ? html`<${VC.Block} className="code" piece=${[part.text]} language=${part.language ? LANGUAGES[part.language] : "python"} label=${part.language ? VC.visible(part.language) : ""} />`
      : html`<${VC.Block} className=${part.kind === "think" ? "think" : "prose"} piece=${[part.text]} label=${part.kind === "think" ? "thinking" : ""} />`)}
    ${piece.length > 2 && html`<p class="cut">${VC.count(piece[2], "character")} left out here when the report was built; the run's file has them</p>`}
    ${piece[3] && html`<${VC.Block} className="prose" piece=${[piece[3]]} />`}
  </section>`;

  const Call = ({ piece }) => {
    const call = piece.length > 2 ? { name: "call", code: piece[1], rest: "" } : VC.callOf(piece[1]);
    return html`<section class="turn call"><h4>calls <code>${VC.visible(call.name)}</code></h4>
      <${VC.Block} className="code" piece=${piece.length > 2 ? piece.slice(1) : [call.code]} language=${call.language || "python"} />
      ${call.rest && html`<${VC.Block} className="code" piece=${[call.rest]} language="json" label="other arguments" />`}</section>`;
  };

  VC.Turns = ({ segments }) => {
    let number = 0, answered = true;
    return segments.map((piece) => {
      if (piece[0] === "result") { answered = true; return html`<section class="turn result"><h4>tool output</h4><${VC.Block} piece=${piece.slice(1)} /></section>`; }
      if (answered) { number++; answered = false; }
      return piece[0] === "call" ? html`<${Call} piece=${piece} />` : html`<${Model} piece=${piece} number=${number} />`;
    });
  };

  const Prompt = ({ prompt }) => html`<details class="prompt" open=${prompt.length < 3}><summary>prompt</summary>
    ${prompt.map((piece) => (piece[0] === "system"
      ? html`<details><summary>system, ${VC.count(piece[1].length + (piece[2] || 0), "character")}</summary><${VC.Block} className="prose" piece=${piece.slice(1)} /></details>`
      : html`<${VC.Block} className="prose" label=${piece[0]} piece=${piece.slice(1)} />`))}</details>`;

  const Verdicts = ({ found }) => {
    const { verdicts, verdicts_in_all: all, terms } = found;
    if (!verdicts) {
      const rate = terms?.pass_rate ?? terms?.test_pass_rate;
      return html`<p class="note">${rate === undefined ? "The file holds no verdict beside the reward." : `The file holds the share of tests that passed, ${VC.show(rate)}, and not the verdict on each test.`}</p>`;
    }
    const names = ["input", "expected", "got", "message"].filter((name) => verdicts.some((test) => test[name]));
    return html`<${VC.Table} className="verdicts" head=${["test", "verdict", ...names]}
      rows=${verdicts.map((test) => ({ className: VC.outcomeClass(test.status || ""), cells: [test.index ?? "", html`<${VC.Outcome} outcome=${String(test.status ?? "?")} />`,
        ...names.map((name) => html`<code>${VC.visible(test[name] ?? "")}</code>`)] }))} />
      ${all > verdicts.length && html`<p class="cut">${VC.count(all - verdicts.length, "more test")}</p>`}`;
  };

  const Tests = ({ piece }) => {
    let text = piece[1];
    if (piece.length === 2) try { text = JSON.stringify(JSON.parse(text), null, 1); } catch { /* shown as it is */ }
    return html`<details><summary>hidden tests</summary><${VC.Block} className="code" language=${piece.length === 2 ? "json" : undefined} piece=${piece.length === 2 ? [text] : piece.slice(1)} /></details>`;
  };

  const Numbers = ({ title, values }) => html`<dl class="numbers" aria-label=${title}>${Object.entries(values).map(([name, value]) => html`<div><dt>${VC.visible(name.replaceAll("_", " "))}</dt><dd>${typeof value === "number" ? VC.show(value, 4) : VC.visible(value ?? "–")}</dd></div>`)}</dl>`;

  VC.numbersOf = (index, row, found) => {
    const column = index.column;
    const whole = (name) => (column[name][row] < 0 ? null : column[name][row]);
    return { [index.text("kind", row) === "evaluation" ? "share of tests passed" : "reward"]: Number.isNaN(column.reward[row]) ? null : column.reward[row], ...(found?.advantage !== undefined && { advantage: found.advantage }), "tool calls": whole("calls"), ...(whole("successes") !== null && { "that succeed": whole("successes") }), turns: whole("turns"), length: column.length[row] };
  };

  VC.Trajectory = ({ site, index, row, built, params, onBack, children }) => {
    const { found, error } = VC.useTrajectory(index, row, built);
    const { id, title } = index.problem(row);
    const run = index.column.run[row], step = index.column.step[row];
    return html`<article class="trajectory" tabindex="-1" aria-label="trajectory">
      <header>
        <button class="back" onClick=${onBack}>‹ list</button>
        <h2 dir="ltr"><bdi>${VC.visible(id)}</bdi></h2>
        ${title !== id && html`<p class="title" dir="ltr">${VC.visible(title)}</p>`}
        <p class="where"><${VC.Outcome} outcome=${index.text("outcome", row)} /> <${VC.RunName} run=${site.runs[run]} place=${run} />
          ${step >= 0 && html` <a href=${VC.address("trajectories", { run, step, kind: index.text("kind", row) })}>step ${step}</a>`} ${index.text("kind", row)}
          ${["source", "difficulty"].map((name) => index.text(name, row) && html` <span class="chip">${VC.visible(index.text(name, row))}</span>`)}</p>
        <div class="actions">${children}</div>
      </header>
      ${error && html`<p class="error">${error}</p>`}
      ${!found && !error && html`<p class="empty">loading ...</p>`}
      ${found && html`
        <${Numbers} title="numbers" values=${VC.numbersOf(index, row, found)} />
        <${Prompt} prompt=${found.prompt} />
        <${VC.Turns} segments=${found.segments} />
        ${!found.segments.length && html`<p class="empty">The model wrote nothing.</p>`}
        <h3>Verdict</h3><${Verdicts} found=${found} />
        <h3>Reward</h3>${found.terms ? html`<${Numbers} title="reward terms" values=${found.terms} />` : html`<p class="note">${index.text("kind", row) === "evaluation" ? "An evaluation asks no reward function: what stands for the reward is the share of tests that passed" : Number.isNaN(index.column.reward[row]) ? "The file holds no reward" : "The file holds the reward alone, and not its terms"}.</p>`}
        ${found.facts && html`<h3>Also in the file</h3><${Numbers} title="facts" values=${found.facts} />`}
        ${found.code && html`<details><summary>code that was graded</summary><${VC.Block} className="code" language="python" piece=${found.code.slice(1)} /></details>`}
        ${found.tests && html`<${Tests} piece=${found.tests} />`}
        <details open=${params.tokens === "1"}><summary>tokens: learnt and masked, log-probs</summary><${VC.Tokens} found=${found} /></details>`}
    </article>`;
  };
})();
