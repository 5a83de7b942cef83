"use strict";
// The address of a view: #/trajectories?step=4&outcome=failed. Every filter stands in it, so that a link keeps them.
(() => {
  VC.VIEWS = ["overview", "curves", "evaluations", "trajectories", "settings"];

  VC.readRoute = () => {
    const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
    const params = Object.fromEntries(new URLSearchParams(query));
    return { view: VC.VIEWS.includes(path) ? path : "overview", params };
  };

  VC.address = (view, params = {}) => {
    const kept = Object.entries(params).filter(([, value]) => value !== undefined && value !== null && value !== "");
    const query = new URLSearchParams(kept.map(([name, value]) => [name, String(value)])).toString();
    return `#/${view}${query && `?${query}`}`;
  };

  VC.go = (view, params, { replace = false } = {}) => {
    const address = VC.address(view, params);
    if (address === location.hash) return;
    if (replace) {
      history.replaceState(null, "", address);
      window.dispatchEvent(new HashChangeEvent("hashchange"));
    } else {
      location.hash = address;
    }
  };
})();
