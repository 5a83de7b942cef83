"use strict";
// One chart: several metrics of several runs over the same steps. Colour is the run, dashes are the metric.
(() => {
  const { html, useEffect, useRef, useState } = htmPreact;
  const DASHES = [[], [6, 4], [2, 3], [10, 4, 2, 4], [1, 5], [14, 4]];

  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // Exponential moving average that skips missing values.
  VC.smoothed = (values, weight) => {
    if (!weight) return values;
    let last = null;
    return values.map((value) => {
      if (value === null || value === undefined) return null;
      last = last === null ? value : weight * last + (1 - weight) * value;
      return last;
    });
  };

  // lines: [{label, steps, values, run, dash, points, flat}] on one axis of steps.
  function aligned(lines) {
    const steps = [...new Set(lines.flatMap((line) => line.steps))].sort((a, b) => a - b);
    const place = new Map(steps.map((step, i) => [step, i]));
    return [steps, ...lines.map((line) => {
      const column = new Array(steps.length).fill(null);
      line.steps.forEach((step, i) => { column[place.get(step)] = line.values[i] ?? null; });
      return line.flat === undefined ? column : column.fill(line.flat);
    })];
  }

  // The fill between each layer and the one below it; the lowest stands on zero.
  const bands = (lines) => lines.slice(0, -1).map((line, i) => ({ series: [i + 1, i + 2], fill: `${line.colour}55` }));

  function options(lines, size, { rate, zero, layers }, pick) {
    const axis = { stroke: css("--soft"), grid: { stroke: css("--line"), width: 1 }, ticks: { stroke: css("--line"), width: 1 }, font: "11px system-ui" };
    return {
      ...size,
      legend: { show: false },
      cursor: { focus: { prox: 24 }, points: { size: 7 }, drag: { x: true, y: false } },
      focus: { alpha: 0.35 },
      scales: { x: { time: false }, y: rate ? { range: (u, low, high) => [Math.min(0, low), Math.max(1, high)] } : zero || layers ? { range: (u, low, high) => [Math.min(0, low), high > 0 ? high * 1.05 : 1] } : {} },
      ...(layers && { bands: bands(lines) }),
      axes: [{ ...axis, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000], size: 28 }, { ...axis, size: 60, values: (u, ticks) => ticks.map((tick) => VC.show(tick, 4)) }],
      series: [{}, ...lines.map((line) => ({
        label: line.label, stroke: line.colour, ...(layers && line === lines.at(-1) && { fill: `${line.colour}55` }), width: line.flat === undefined ? 2 : 1, dash: DASHES[line.dash % DASHES.length],
        spanGaps: true, points: { show: line.points || line.steps.length === 1 },
      }))],
      hooks: {
        setCursor: [(u) => pick(u.cursor.idx)],
        ready: [(u) => u.over.addEventListener("click", (event) => pick(u.cursor.idx, event, u.series.findIndex((s, i) => i && s._focus) - 1))],
      },
    };
  }

  VC.Chart = ({ title, lines, rate, zero, layers, seconds, onStep, note, height = 210 }) => {
    const place = useRef(null), down = useRef(null);
    const [at, setAt] = useState(null);
    const [theme, setTheme] = useState(0);
    const data = aligned(lines);
    const say = seconds ? VC.seconds : VC.show;
    const signature = JSON.stringify([lines.map((line) => [line.label, line.colour, line.flat]), data, theme]);

    useEffect(() => {
      const changed = () => setTheme((n) => n + 1);
      window.addEventListener("themechange", changed);
      return () => window.removeEventListener("themechange", changed);
    }, []);

    useEffect(() => {
      const element = place.current;
      const size = () => ({ width: Math.max(element.clientWidth, 200), height });
      const pick = (step, click, series) => {
        if (!click) return setAt(step ?? null);
        // A pointer that has moved has zoomed.
        const zoomed = down.current !== null && Math.abs(click.clientX - down.current) > 4;
        if (step !== null && step !== undefined && onStep && !zoomed) onStep(data[0][step], lines[series]);
      };
      const plot = new uPlot(options(lines, size(), { rate, zero, layers }, pick), data, element);
      const resize = new ResizeObserver(() => plot.setSize(size()));
      resize.observe(element);
      return () => { resize.disconnect(); plot.destroy(); };
    }, [signature, height]);

    // What a line says at a step: its own part of a layer, else its value; with no step pointed at, its last.
    const valueAt = (line, i, step) => {
      if (line.own) return line.own[line.steps.indexOf(data[0][step])];
      const column = data[i + 1];
      return at === null ? column.findLast((value) => value !== null) : column[step];
    };
    const shown = at === null || at >= data[0].length ? data[0].length - 1 : at;
    return html`<section class="card chart">
      <h3>${title} ${note && html`<small>${note}</small>`}</h3>
      <div class="plot" ref=${place} onPointerDown=${(event) => { down.current = event.clientX; }} role="img" aria-label=${`${title}: the values stand in the table below`}></div>
      <ul class="legend"><li class="step">${at === null ? "last" : `step ${data[0][shown]}`}</li>${lines.map((line, i) => html`<li>
        <svg width="22" height="8" aria-hidden="true"><line x1="0" y1="4" x2="22" y2="4" stroke=${line.colour} stroke-width="2" stroke-dasharray=${DASHES[line.dash % DASHES.length].join(" ")} /></svg>
        ${VC.visible(line.label)} <b>${say(valueAt(line, i, shown), 4)}</b></li>`)}</ul>
      ${onStep && html`<details class="values"><summary>values</summary><${Values} lines=${lines} data=${data} say=${say} onStep=${onStep} /></details>`}
    </section>`;
  };

  const Values = ({ lines, data, say, onStep }) => {
    const stride = Math.ceil(data[0].length / 200);
    const rows = data[0].map((step, i) => i).filter((i) => i % stride === 0 || i === data[0].length - 1);
    return html`<${VC.Table} head=${["step", ...lines.map((line) => VC.visible(line.label))]} rows=${rows.map((i) => [
      html`<button class="link" onClick=${() => onStep(data[0][i])}>${data[0][i]}</button>`,
      ...lines.map((line, j) => say(line.own ? line.own[line.steps.indexOf(data[0][i])] : data[j + 1][i], 4)),
    ])} />`;
  };
})();
