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
    if (!el || el.dataset.mark === part.mark) return;
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

  times(document);
  setInterval(function () { times(document); }, 5000);
  open();
})();
