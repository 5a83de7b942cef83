"use strict";
// The trajectory browser: filters, histogram of rewards, list, and the trajectory or its group beside it.
(() => {
  const { html, useEffect, useMemo, useRef, useState } = htmPreact;
  const ROW = 54;
  const MOST_CHOICES = 300;

  const Histogram = ({ histogram, chosen, choose }) => {
    if (!histogram) return html`<p class="note">No rewards in these files.</p>`;
    const { low, width, bins } = histogram, highest = Math.max(...bins, 1);
    const edge = (i) => Number((low + i * width).toPrecision(6));
    return html`<div class="histogram" role="group" aria-label="histogram of rewards">
      <div class="bins">${bins.map((count, i) => {
        const value = `${edge(i)}..${edge(i + 1)}`;
        return html`<button class=${chosen === value ? "chosen" : ""} aria-pressed=${chosen === value} title=${`reward ${edge(i)} to ${edge(i + 1)}: ${count.toLocaleString("en")}`}
          aria-label=${`reward ${edge(i)} to ${edge(i + 1)}, ${VC.count(count, "trajectory").replace("trajectorys", "trajectories")}`}
          disabled=${!count && chosen !== value} onClick=${() => choose(chosen === value ? "" : value)}><i style=${`height:${count ? Math.max(4, (100 * count) / highest) : 0}%`}></i></button>`;
      })}</div><p class="axis"><span>${edge(0)}</span><span>reward</span><span>${edge(bins.length)}</span></p></div>`;
  };

  const Choice = ({ name, label, params, set, options, any = "any" }) => options.length < 2 && !params[name] ? null : html`<label>${label}
    <select value=${params[name] || ""} onChange=${(event) => set({ [name]: event.target.value })}><option value="">${any}</option>
      ${options.map(([value, word]) => html`<option value=${value}>${VC.visible(word)}</option>`)}</select></label>`;

  // A field that sets its filter a moment after the last key.
  const Field = ({ name, label, params, set, ...rest }) => {
    const [value, setValue] = useState(params[name] || "");
    const timer = useRef(0);
    useEffect(() => setValue(params[name] || ""), [params[name]]);
    const input = (event) => {
      const text = event.target.value;
      setValue(text);
      clearTimeout(timer.current);
      timer.current = setTimeout(() => set({ [name]: text }), 250);
    };
    return html`<label>${label} <input type="search" name=${name} value=${value} onInput=${input} ...${rest} /></label>`;
  };

  const Filters = ({ site, index, params, set, result, search }) => {
    const { texts } = index;
    const pairs = (name) => texts[name].filter(Boolean).sort().slice(0, MOST_CHOICES).map((text) => [text, text.replaceAll("_", " ")]);
    const kinds = pairs("kind").length > 1 && texts.kind.some((kind) => kind.startsWith("held-out")) ? [...pairs("kind"), ["held-out", "held-out, all"]] : pairs("kind");
    const [wide] = useState(!matchMedia("(max-width: 760px)").matches);
    const given = Object.keys(params).filter((name) => !["t", "group", "tokens"].includes(name));
    return html`<details class="filterbox" open=${wide || given.length > 2}><summary>filters${given.length ? `: ${VC.visible(given.join(", "))}` : ""}</summary>
    <form class="filters" role="search" onSubmit=${(event) => event.preventDefault()}>
      <${Choice} name="run" label="run" ...${{ params, set }} options=${site.runs.map((run, place) => [String(place), run.name])} />
      <${Choice} name="kind" label="from" ...${{ params, set }} options=${kinds} />
      <${Field} name="step" label="step" ...${{ params, set }} placeholder="4 or 4-8" size="7" inputmode="numeric" />
      <${Choice} name="outcome" label="outcome" ...${{ params, set }} options=${pairs("outcome")} />
      <${Choice} name="tool" label="tool" ...${{ params, set }} options=${[["none", "no call"], ["some", "calls"], ["many", "calls twice or more"], ["failed", "a call failed"]]} />
      <${Choice} name="source" label="dataset" ...${{ params, set }} options=${pairs("source")} />
      <${Choice} name="difficulty" label="difficulty" ...${{ params, set }} options=${pairs("difficulty")} />
      <${Field} name="problem" label="problem" ...${{ params, set }} placeholder="id or title" size="14" />
      <${Field} name="text" label="text" ...${{ params, set }} placeholder="in prompt or answer" title="/ goes here" size="20" />
      <${Choice} name="sort" label="sort" any="as written" ...${{ params, set }} options=${VC.SORTS.flatMap((name) => [[`${name}-down`, `${name} ↓`], [`${name}-up`, `${name} ↑`]])} />
    </form></details>
      <p class="found" aria-live="polite"><b>${result.rows.length.toLocaleString("en")}</b> of ${index.rows.toLocaleString("en")}
        ${search && !search.finished && html` · searching, ${Math.round((100 * search.done) / Math.max(search.all, 1))}%`}
        ${search?.missing > 0 && html` · <span class="error">${VC.count(search.missing, "file")} could not be read</span>`}
        ${given.length > 0 && html` <button type="button" class="link" onClick=${() => VC.go("trajectories", { t: params.t })}>clear all</button>`}</p>`;
  };

  const Row = ({ index, row, place, chosen, open, many }) => {
    const { title, id } = index.problem(row), column = index.column, step = column.step[row];
    return html`<button role="option" id=${`row-${row}`} tabindex="-1" aria-selected=${chosen} class=${`row ${VC.outcomeClass(index.text("outcome", row))}`} style=${`top:${place * ROW}px`} onClick=${() => open(row)}>
      <b>${Number.isNaN(column.reward[row]) ? "–" : column.reward[row].toFixed(2)}</b>
      <span class="name" dir="ltr">${VC.visible(title)}</span>
      <small>${many && html`<i class="dot" style=${`background:${VC.colour(column.run[row])}`}></i>`}${step >= 0 ? `step ${step} · ` : ""}${VC.visible(index.text("outcome", row).replaceAll("_", " "))} · ${column.calls[row] < 0 ? "calls unknown" : VC.count(column.calls[row], "call")} · ${column.length[row].toLocaleString("en")} long${title === id ? "" : ` · ${VC.visible(id)}`}</small>
    </button>`;
  };

  const List = ({ index, rows, chosen, open, many }) => {
    const box = useRef(null);
    const [view, setView] = useState([0, 20]);
    const look = () => {
      const { scrollTop, clientHeight } = box.current;
      setView([Math.max(0, Math.floor(scrollTop / ROW) - 5), Math.ceil((scrollTop + clientHeight) / ROW) + 5]);
    };
    useEffect(() => {
      const resize = new ResizeObserver(look);
      resize.observe(box.current);
      return () => resize.disconnect();
    }, []);
    const at = useMemo(() => rows.indexOf(chosen), [rows, chosen]);
    useEffect(() => {
      if (at < 0) return;
      const { scrollTop, clientHeight } = box.current;
      if (at * ROW < scrollTop || (at + 1) * ROW > scrollTop + clientHeight) { box.current.scrollTop = at * ROW - clientHeight / 2; look(); }
    }, [at]);
    return html`<div class="list" ref=${box} onScroll=${look} role="listbox" tabindex="0" aria-label="trajectories" aria-activedescendant=${chosen >= 0 ? `row-${chosen}` : undefined}>
      <div style=${`height:${rows.length * ROW}px`}>${rows.slice(view[0], view[1]).map((row, i) => html`<${Row} key=${row} ...${{ index, row, open, many }} place=${view[0] + i} chosen=${row === chosen} />`)}</div>
      ${!rows.length && html`<p class="empty">${index.rows ? "No trajectory fits." : "No trajectories in these folders."}</p>`}
    </div>`;
  };

  // Words in `text`, searched for among the rows that the other filters keep.
  function useSearch(index, params) {
    const [search, setSearch] = useState(null);
    const { text = "", run, kind, step, outcome, tool, problem, source, difficulty } = params;
    useEffect(() => {
      if (text.length < 2) { setSearch(null); return undefined; }
      const { candidates } = VC.filterRows(index, { ...params, reward: "", sort: "" }, null);
      setSearch({ matched: new Uint8Array(index.rows), done: 0, all: 1, finished: false });
      return VC.search(index, candidates, text, (state) => setSearch({ ...state }));
    }, [index, text, run, kind, step, outcome, tool, problem, source, difficulty]);
    return search && search.matched.length === index.rows ? search : null;
  }

  VC.Browser = ({ site, index, params, built }) => {
    const search = useSearch(index, params);
    const result = useMemo(() => VC.filterRows(index, params, search?.matched), [index, search, ...["run", "kind", "step", "outcome", "tool", "problem", "source", "difficulty", "reward", "sort"].map((name) => params[name])]);
    const chosen = index.rowOf(params.t);
    const set = (change) => VC.go("trajectories", { ...params, ...change }, { replace: true });
    const open = (row) => set({ t: index.keyOf(row) });
    const move = (by) => {
      const at = result.rows.indexOf(chosen);
      const row = result.rows[Math.min(Math.max(at + by, 0), result.rows.length - 1)];
      if (row !== undefined) open(row);
    };
    useEffect(() => {
      VC.keys = { j: () => move(1), k: () => move(-1), ArrowDown: () => move(1), ArrowUp: () => move(-1), PageDown: null,
        g: () => chosen >= 0 && set({ group: params.group ? "" : "1" }), t: () => chosen >= 0 && set({ tokens: params.tokens ? "" : "1" }),
        "/": () => document.querySelector("input[name=text]")?.focus(), Escape: () => set(params.group ? { group: "" } : { t: "" }) };
      return () => { VC.keys = {}; };
    });
    if (chosen >= 0 && params.group) {
      return html`<${VC.Group} index=${index} row=${chosen} built=${built} onOpen=${(row) => set({ t: index.keyOf(row), group: "" })} onClose=${() => set({ group: "" })} />`;
    }
    const members = chosen >= 0 ? index.members(chosen).length : 0;
    return html`<div class=${`browser ${chosen >= 0 ? "open" : ""}`}>
      <div class="side">
        <${Filters} ...${{ site, index, params, set, result, search }} />
        <${Histogram} histogram=${result.histogram} chosen=${params.reward} choose=${(reward) => set({ reward })} />
        <${List} index=${index} rows=${result.rows} chosen=${chosen} open=${open} many=${site.runs.length > 1} />
      </div>
      ${chosen >= 0 ? html`<${VC.Trajectory} key=${params.t} ...${{ site, index, built, params }} row=${chosen} onBack=${() => set({ t: "" })}>
          <button onClick=${() => move(-1)} title="k">‹ previous</button><button onClick=${() => move(1)} title="j">next ›</button>
          ${members > 1 && html`<button onClick=${() => set({ group: "1" })} title="g">${VC.count(members, "answer")} to this prompt, side by side</button>`}
        <//>` : html`<p class="empty hint">${params.t ? "The trajectory that this address names is not in this report." : "Choose a trajectory: j and k go through the list, g shows its group, / searches."}</p>`}
    </div>`;
  };
})();
