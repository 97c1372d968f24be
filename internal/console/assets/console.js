// The console's script: local times and ages, live parts, charts. Pages work without it.
(function () {
  "use strict";

  // --- times -------------------------------------------------------------------------------------------------------
  const two = (n) => String(n).padStart(2, "0");
  function clock(d) {
    const now = new Date();
    const day = d.getFullYear() + "-" + two(d.getMonth() + 1) + "-" + two(d.getDate());
    const time = two(d.getHours()) + ":" + two(d.getMinutes()) + ":" + two(d.getSeconds());
    return d.toDateString() === now.toDateString() ? time : day + " " + time;
  }
  function age(d) {
    const s = Math.round((Date.now() - d.getTime()) / 1000);
    if (s < 0) return "in " + span(-s);
    return s < 5 ? "just now" : span(s) + " ago";
  }
  function span(s) {
    if (s < 90) return s + " s";
    if (s < 5400) return Math.round(s / 60) + " min";
    if (s < 129600) return Math.round(s / 3600) + " h";
    return Math.round(s / 86400) + " days";
  }
  function times(root) {
    for (const el of root.querySelectorAll("time[datetime]")) {
      const d = new Date(el.getAttribute("datetime"));
      const text = el.classList.contains("ago") ? age(d) : clock(d);
      if (el.textContent !== text) el.textContent = text;
      if (!el.title) el.title = d.toLocaleString();
    }
  }

  // --- live parts --------------------------------------------------------------------------------------------------
  const path = document.body.dataset.live;
  const sign = document.getElementById("live");
  let stream = null;
  let again = 0;
  function say(text, ok) {
    if (!sign) return;
    sign.hidden = false;
    sign.textContent = text;
    sign.classList.toggle("on", ok);
  }
  function open() {
    if (!path || stream || document.hidden) return;
    stream = new EventSource(path);
    stream.onopen = function () { again = 0; say("live", true); };
    stream.onerror = function () {
      say("not live, trying again", false);
      if (stream.readyState !== EventSource.CLOSED) return; // the browser tries by itself
      close();
      again = Math.min(again + 1, 6);
      setTimeout(open, 1000 * 2 ** again * (0.75 + Math.random() / 2));
    };
    stream.addEventListener("part", function (e) { put(JSON.parse(e.data)); });
    stream.addEventListener("tick", function () { document.dispatchEvent(new Event("homeostat:tick")); });
  }
  function close() {
    if (stream) stream.close();
    stream = null;
  }
  // put replaces a part, unless it shows that text already, or somebody writes in it.
  function put(part) {
    const el = document.getElementById(part.id);
    if (!el || el.dataset.mark === part.mark || el.dataset.held) return;
    const at = document.activeElement;
    const within = at && el.contains(at);
    if (within && /^(INPUT|TEXTAREA|SELECT)$/.test(at.tagName)) return;
    const id = within ? at.id : "";
    const href = within ? at.getAttribute("href") : null;
    const opened = Array.from(el.querySelectorAll("details[open][id]"), (d) => d.id);
    el.innerHTML = part.html;
    el.dataset.mark = part.mark;
    for (const d of opened) {
      const found = document.getElementById(d);
      if (found) found.open = true;
    }
    if (window.htmx) window.htmx.process(el);
    times(el);
    if (within) {
      const back = id ? document.getElementById(id) : href ? el.querySelector('a[href="' + CSS.escape(href) + '"]') : null;
      if (back) back.focus({ preventScroll: true });
    }
    document.dispatchEvent(new CustomEvent("homeostat:part", { detail: el }));
  }

  document.addEventListener("visibilitychange", function () {
    if (document.hidden) close(); // a browser has six connections to a server: hidden pages leave theirs
    else open();
  });
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", open);

  // Who asks for older rows reads: from then on that list holds still.
  document.addEventListener("htmx:beforeRequest", function (e) {
    const part = e.target.closest(".older") && e.target.closest("[data-mark]");
    if (part) part.dataset.held = "1";
  });

  // A notice goes away by itself; an error stays in its place.
  document.addEventListener("htmx:afterSwap", function (e) {
    times(e.target);
    if (e.target.id === "notice") setTimeout(function () { e.target.textContent = ""; }, 6000);
  });
  document.addEventListener("htmx:responseError", function (e) {
    const doc = new DOMParser().parseFromString(e.detail.xhr.responseText, "text/html");
    const said = doc.querySelector("#main p") || doc.querySelector("#main h1");
    const p = document.createElement("p");
    p.className = "notice critical";
    p.textContent = said ? said.textContent : "That did not work.";
    document.getElementById("notice").replaceChildren(p);
  });
  document.addEventListener("htmx:sendError", function () {
    const p = document.createElement("p");
    p.className = "notice critical";
    p.textContent = "Homeostat can't be reached. Nothing was changed.";
    document.getElementById("notice").replaceChildren(p);
  });

  // --- charts ------------------------------------------------------------------------------------------------------
  const box = document.getElementById("charts");
  const drawn = new Map(); // by the chart's name
  function css(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }
  const units = {
    ratio: (v) => (v * 100).toFixed(v !== 0 && Math.abs(v) < 0.0995 ? 1 : 0) + " %",
    rate: (v) => bytes(v) + "/s",
    size: bytes,
    seconds: (v) => (Math.abs(v) < 0.9995 ? Number((v * 1000).toPrecision(3)) + " ms" : Number(v.toPrecision(3)) + " s"),
    plain: (v) => String(Number(v.toPrecision(4))),
  };
  function bytes(v) {
    for (const [at, name] of [[1e12, "TB"], [1e9, "GB"], [1e6, "MB"], [1e3, "kB"]]) {
      if (Math.abs(v) >= at * 0.9995) {
        const x = v / at;
        return x.toFixed(Math.abs(x) >= 99.95 ? 0 : 1) + " " + name;
      }
    }
    return v.toFixed(0) + " B";
  }
  // Marks: under the lines a veil over each stretch that was not well, over them its foot, and a post for each action.
  function stretches(u, marks) {
    const { min, max } = u.scales.x;
    const out = [];
    for (const m of marks.filter((m) => m.kind !== "action" && m.kind !== "breach").sort((a, b) => a.from - b.from)) {
      const from = Math.max(m.from, min);
      const to = Math.min(m.to || max, max);
      if (to < min || from > max) continue;
      const last = out[out.length - 1];
      if (last && from <= last[1]) last[1] = Math.max(last[1], to); // what overlaps is one stretch
      else out.push([from, to]);
    }
    return out.map(([from, to]) => {
      const a = u.valToPos(from, "x", true);
      return [a, Math.max(2 * devicePixelRatio, u.valToPos(to, "x", true) - a)];
    });
  }
  function veil(u) {
    const { ctx, bbox } = u;
    ctx.save();
    ctx.globalAlpha = 0.09;
    ctx.fillStyle = css("--critical");
    for (const [a, w] of stretches(u, marks)) ctx.fillRect(a, bbox.top, w, bbox.height);
    ctx.restore();
  }
  function posts(u) {
    const { ctx, bbox } = u;
    const px = devicePixelRatio;
    ctx.save();
    ctx.fillStyle = css("--critical");
    for (const [a, w] of stretches(u, marks)) ctx.fillRect(a, bbox.top + bbox.height - 3 * px, w, 3 * px);
    ctx.fillStyle = css("--active");
    for (const m of marks) {
      if (m.kind !== "action" || m.from < u.scales.x.min || m.from > u.scales.x.max) continue;
      const a = u.valToPos(m.from, "x", true);
      ctx.fillRect(a - px, bbox.top, 2 * px, bbox.height);
      ctx.beginPath();
      ctx.arc(a, bbox.top + 4 * px, 4 * px, 0, 2 * Math.PI);
      ctx.fill();
    }
    ctx.restore();
  }
  // A forecast: its band of 80 % goes on from what was expected; here are the wider and the narrower ones, and where now is.
  function fan(u, c) {
    if (!c || !c.fan) return;
    const { ctx, bbox } = u;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    ctx.fillStyle = css("--band");
    for (const [lo, hi] of c.fan.pairs) {
      ctx.beginPath();
      c.fan.t.forEach((t, i) => ctx.lineTo(u.valToPos(t, "x", true), u.valToPos(hi[i], "y", true)));
      for (let i = c.fan.t.length - 1; i >= 0; i--) ctx.lineTo(u.valToPos(c.fan.t[i], "x", true), u.valToPos(lo[i], "y", true));
      ctx.fill();
    }
    ctx.fillStyle = css("--line");
    ctx.fillRect(u.valToPos(c.t[c.t.length - 1], "x", true), bbox.top, devicePixelRatio, bbox.height);
    ctx.restore();
  }
  // The time axis says hours and minutes of the reader's own day, and the date where a chart spans several.
  function hours(u, ts) {
    const days = u.scales.x.max - u.scales.x.min > 90000;
    return ts.map(function (t) {
      const d = new Date(t * 1000);
      return days ? d.toLocaleDateString(undefined, { month: "short", day: "numeric" }) : two(d.getHours()) + ":" + two(d.getMinutes());
    });
  }
  let marks = [];
  function figure(c) {
    const fig = document.createElement("figure");
    fig.className = "chart";
    const cap = document.createElement("figcaption");
    for (const part of ["name", "value", "note"]) {
      const s = document.createElement("span");
      s.className = "chart-" + part;
      cap.append(s);
    }
    const plot = document.createElement("div");
    fig.append(cap, plot);
    box.append(fig);
    const fmt = units[c.unit] || units.plain;
    const axis = { stroke: css("--soft"), grid: { stroke: css("--hair"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
    const opts = {
      width: Math.max(plot.clientWidth, 200), height: 170, padding: [8, 18, 0, 0],
      legend: { show: false }, cursor: { y: false, points: { size: 6 }, sync: { key: "charts" } },
      scales: { y: { range: (u, lo, hi) => [Math.min(0, lo), hi <= 0 ? 1 : hi * 1.08] } },
      axes: [{ ...axis, size: 26, values: hours, space: 60 }, { ...axis, size: 66, values: (u, vs) => vs.map(fmt).map((v, i, all) => v === all[i - 1] ? "" : v) }],
      bands: [{ series: [2, 1], fill: css("--band") }],
      series: [
        {},
        { stroke: null, width: 0, points: { show: false }, spanGaps: true },
        { stroke: null, width: 0, points: { show: false }, spanGaps: true },
        { stroke: css("--soft"), width: 1, dash: [4, 4], points: { show: false }, spanGaps: true },
        { stroke: css("--trace"), width: 1.6, points: { show: false } },
      ],
      hooks: { drawAxes: [veil, (u) => fan(u, (drawn.get(c.name) || { c }).c)], draw: [posts], setCursor: [(u) => read(u)] },
    };
    const entry = { fig, cap, fmt, u: new uPlot(opts, columns(c), plot), c };
    function read(u) { label(entry, u.cursor.idx); }
    new ResizeObserver(function () { entry.u.setSize({ width: Math.max(plot.clientWidth, 200), height: 170 }); }).observe(plot);
    drawn.set(c.name, entry);
    return entry;
  }
  function columns(c) {
    const none = c.t.map(() => null);
    const all = [c.t, c.lower || none, c.upper || none, c.expected || none, c.value];
    if (!c.fan) return all;
    const ahead = [c.fan.t, c.fan.lower, c.fan.upper, c.fan.median, c.fan.t.map(() => null)];
    return all.map((col, i) => col.concat(ahead[i]));
  }
  // label writes the figures at a point, or the last ones.
  function label(entry, at) {
    const { c, fmt, cap, fig } = entry;
    let i = at;
    if (i == null) {
      i = c.t.length - 1;
      while (i > 0 && c.value[i] == null) i--;
    }
    if (i >= c.t.length) {
      const f = c.fan;
      const k = i - c.t.length;
      cap.children[0].textContent = c.label;
      cap.children[1].textContent = fmt(f.median[k]);
      cap.children[2].textContent = clock(new Date(f.t[k] * 1000)) + " · forecast, " + fmt(f.lower[k]) + " to " + fmt(f.upper[k]);
      return;
    }
    const v = c.value[i];
    const lo = c.lower && c.lower[i];
    const hi = c.upper && c.upper[i];
    const has = lo != null && hi != null;
    cap.children[0].textContent = c.label;
    cap.children[1].textContent = v == null ? "–" : fmt(v);
    cap.children[2].textContent = (at == null ? "" : clock(new Date(c.t[i] * 1000)) + " · ") + (has ? "expected " + fmt(lo) + " to " + fmt(hi) + (c.unsure ? ", still learning" : "") : "nothing expected yet");
    fig.classList.toggle("outside", has && !c.unsure && v != null && (v > hi || v < lo));
  }
  let asking = false;
  async function charts() {
    if (!box || !window.uPlot || asking || document.hidden) return;
    asking = true;
    try {
      const res = await fetch(box.dataset.charts, { headers: { Accept: "application/json" } });
      if (!res.ok) throw new Error(String(res.status));
      const set = await res.json();
      marks = set.marks;
      const empty = document.getElementById("charts-empty");
      if (empty) {
        empty.hidden = set.charts.length > 0;
        empty.textContent = "No figures have come in for this span yet.";
      }
      for (const c of set.charts) {
        const entry = drawn.get(c.name) || figure(c);
        entry.c = c;
        entry.u.setData(columns(c), false);
        entry.u.setScale("x", { min: set.from, max: c.fan ? c.fan.t[c.fan.t.length - 1] : set.to });
        label(entry, entry.u.cursor.idx);
      }
      box.dataset.drawn = String(set.charts.length);
    } catch (e) {
      console.error(e);
      say("charts can't be drawn now", false);
    } finally {
      asking = false;
    }
  }
  if (box) {
    document.addEventListener("homeostat:tick", charts);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", function () {
      for (const e of drawn.values()) { e.u.destroy(); e.fig.remove(); }
      drawn.clear();
      charts();
    });
    charts();
  }

  times(document);
  setInterval(function () { times(document); }, 5000);
  open();
})();
