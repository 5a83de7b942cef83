"use strict";
// The page: its five views, the keyboard, the theme, and reading the data.
(() => {
  const { html, render, useEffect, useErrorBoundary, useState } = htmPreact;
  const TITLES = { overview: "Overview", curves: "Curves", evaluations: "Evaluations", trajectories: "Trajectories", settings: "Settings" };
  const THEMES = ["auto", "light", "dark"];
  VC.keys = {};

  const remembered = () => { try { return localStorage.getItem("verl-coder-theme") || "auto"; } catch { return "auto"; } };
  function setTheme(theme) {
    document.documentElement.dataset.theme = theme;
    try { localStorage.setItem("verl-coder-theme", theme); } catch { /* a browser may forbid it on file:// */ }
    window.dispatchEvent(new Event("themechange"));
  }

  const Help = ({ close }) => html`<div class="help card" role="dialog" aria-label="keys">
    <h3>Keys</h3><dl>
      ${[["1 – 5", "the views"], ["j, k, ↓, ↑", "next and previous trajectory"], ["g", "its group side by side, and back"], ["t", "its tokens"], ["/", "search in the text"], ["Esc", "back"], ["?", "this"]].map(([key, word]) => html`<dt><kbd>${key}</kbd></dt><dd>${word}</dd>`)}
    </dl><button onClick=${close}>close</button></div>`;

  // A view that fails is told, and leaves the others alone.
  const Guarded = ({ View, ...rest }) => {
    const [error] = useErrorBoundary();
    return error ? html`<p class="error">This view failed: ${String(error.message || error)}. The others still work.</p>` : html`<${View} ...${rest} />`;
  };

  const App = ({ report }) => {
    const [route, setRoute] = useState(VC.readRoute());
    const [theme, setThemeName] = useState(remembered());
    const [help, setHelp] = useState(false);
    useEffect(() => {
      const changed = () => setRoute(VC.readRoute());
      window.addEventListener("hashchange", changed);
      return () => window.removeEventListener("hashchange", changed);
    }, []);
    useEffect(() => setTheme(theme), [theme]);
    useEffect(() => {
      const pressed = (event) => {
        const field = event.target.closest?.("input, select, textarea");
        if (event.ctrlKey || event.metaKey || event.altKey) return;
        if (field) { if (event.key === "Escape") field.blur(); return; }
        if (help && event.key === "Escape") { setHelp(false); return; }
        const action = VC.keys[event.key] || (event.key === "?" ? () => setHelp(!help) : VC.VIEWS[Number(event.key) - 1] ? () => VC.go(VC.VIEWS[Number(event.key) - 1]) : null);
        if (action) { event.preventDefault(); action(); }
      };
      window.addEventListener("keydown", pressed);
      return () => window.removeEventListener("keydown", pressed);
    }, [help]);
    const { site, index, built } = report;
    const View = { overview: VC.Overview, curves: VC.Curves, evaluations: VC.Evaluations, trajectories: VC.Browser, settings: VC.Settings }[route.view];
    return html`<div class=${`page ${route.view}`}>
      <nav><strong>verl-coder</strong>${VC.VIEWS.map((view) => html`<a href=${VC.address(view)} aria-current=${route.view === view ? "page" : undefined}>${TITLES[view]}</a>`)}
        <span class="right"><small>${site.built}</small><button class="link" onClick=${() => setThemeName(THEMES[(THEMES.indexOf(theme) + 1) % 3])} aria-label=${`theme: ${theme}`}>${{ auto: "◐", light: "☀", dark: "☾" }[theme]} ${theme}</button><button class="link" onClick=${() => setHelp(!help)} aria-label="keys">?</button></span></nav>
      <main><${Guarded} key=${route.view} View=${View} site=${site} index=${index} params=${route.params} built=${built} /></main>
      ${help && html`<${Help} close=${() => setHelp(false)} />`}
    </div>`;
  };

  const root = document.getElementById("app");
  let built = 0;
  const draw = async () => {
    const report = await VC.loadReport();
    const names = report.site.runs.map((run) => run.name);
    document.title = `${VC.visible(names.slice(0, 3).join(", "))}${names.length > 3 ? ` and ${names.length - 3} more` : ""} - verl-coder report`;
    if (!built) root.replaceChildren();
    built += 1;
    render(html`<${App} report=${{ ...report, built }} />`, root);
    requestAnimationFrame(() => setTimeout(() => performance.mark("first-view")));
  };
  setTheme(remembered());
  draw().then(() => VC.watch(draw), (error) => {
    const line = document.createElement("p");
    line.className = "error";
    line.textContent = error.message;
    root.replaceChildren(line);
  });
})();
