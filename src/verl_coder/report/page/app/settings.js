"use strict";
// Settings: what differs between the runs first, then everything.
(() => {
  const { html, useState } = htmPreact;
  const MOST = 400;

  const Rows = ({ runs, names }) => html`<${VC.Table} className="settings"
    head=${["setting", ...runs.map(({ run, place }) => html`<${VC.RunName} run=${run} place=${place} />`)]}
    rows=${names.slice(0, MOST).map((name) => [VC.visible(name), ...runs.map(({ run }) => { const value = run.settings[name] ?? (run.results || {})[name]; return value === undefined ? "–" : VC.visible(value); })])} />`;

  VC.Settings = ({ site }) => {
    const [wanted, setWanted] = useState("");
    const families = ["sft", "training", "evaluation"].map((kind) => site.runs.map((run, place) => ({ run, place })).filter(({ run }) => run.kind === kind)).filter((runs) => runs.length);
    return html`<div>
      <div class="bar"><label>find <input type="search" value=${wanted} placeholder="name or value" onInput=${(event) => setWanted(event.target.value.toLowerCase())} /></label></div>
      ${families.map((runs) => {
        const tables = runs.map(({ run }) => run.settings), results = runs.map(({ run }) => run.results || {});
        const among = (lists) => (name) => !wanted || name.toLowerCase().includes(wanted) || lists.some((table) => (table[name] || "").toLowerCase().includes(wanted));
        const fits = among(tables);
        const found = [...new Set(results.flatMap((table) => Object.keys(table)))].filter(among(results));
        const names = [...new Set(tables.flatMap((table) => Object.keys(table)))].filter(fits);
        const different = names.filter((name) => new Set(tables.map((table) => table[name])).size > 1);
        const same = names.filter((name) => !different.includes(name));
        // Where a value only repeats the run's own folder or name, it tells nothing about the experiment.
        const own = runs.map(({ run }) => [run.path, ...run.path.split("/").slice(-1)]);
        const bare = (name, i) => own[i].reduce((text, word) => text.replaceAll(word, "*"), tables[i][name] ?? "");
        const named = runs.length > 1 ? different.filter((name) => new Set(runs.map((_, i) => bare(name, i))).size === 1) : [];
        const telling = different.filter((name) => !named.includes(name));
        const title = { sft: "Fine-tuning runs", training: "Training runs", evaluation: "Evaluations" }[runs[0].run.kind];
        return html`<section class="card"><h2>${title}</h2>
          ${runs.length > 1 && html`<h3>${VC.count(telling.length, "setting")} ${telling.length === 1 ? "differs" : "differ"}</h3>${telling.length > 0 && html`<${Rows} runs=${runs} names=${telling} />`}
            ${named.length > 0 && html`<details open=${!!wanted}><summary>${VC.count(named.length, "setting")} that ${named.length === 1 ? "repeats" : "repeat"} the run's own name or folder</summary><${Rows} runs=${runs} names=${named} /></details>`}`}
          ${names.length === 0 && html`<p class="empty">No settings${wanted ? " fit" : " were found"}.</p>`}
          ${same.length > 0 && html`<details open=${(runs.length === 1 && families.length === 1) || wanted}><summary>${VC.count(same.length, "setting")}${runs.length > 1 ? " the same in all" : ""}</summary>
            <${Rows} runs=${runs.slice(0, 1)} names=${same} />${same.length > MOST && html`<p class="note">The first ${MOST} are shown: search for others.</p>`}</details>`}
          ${found.length > 0 && html`<details open=${!!wanted}><summary>${VC.count(found.length, "result")}</summary><${Rows} runs=${runs} names=${found} /></details>`}
        </section>`;
      })}
    </div>`;
  };
})();
