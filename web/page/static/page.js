/* What the page does beyond HTML. Every page works without it. */
(function () {
  "use strict";

  /* Copy: the button names the element whose text it copies. Over plain HTTP browsers have no clipboard API. */
  function copy(text) {
    if (navigator.clipboard && window.isSecureContext) {
      return navigator.clipboard.writeText(text);
    }
    var field = document.createElement("textarea");
    field.value = text;
    field.setAttribute("readonly", "");
    field.className = "hidden";
    document.body.appendChild(field);
    field.select();
    var done = document.execCommand("copy");
    field.remove();
    return done ? Promise.resolve() : Promise.reject(new Error("not copied"));
  }

  document.addEventListener("click", function (event) {
    var button = event.target.closest("[data-copy]");
    if (!button) { return; }
    var from = document.getElementById(button.dataset.copy);
    copy(from.textContent.trim()).then(function () {
      button.textContent = button.dataset.done;
      button.classList.add("copied");
    }, function () {
      window.getSelection().selectAllChildren(from);
    });
  });

  /* Show a password while it is typed. */
  document.addEventListener("change", function (event) {
    var box = event.target;
    if (!box.dataset || !box.dataset.reveals) { return; }
    box.dataset.reveals.split(" ").forEach(function (id) {
      document.getElementById(id).type = box.checked ? "text" : "password";
    });
  });

  /* A form is sent once: a second press while the first is under way does nothing. */
  document.addEventListener("submit", function (event) {
    var form = event.target;
    if (event.defaultPrevented || form.method !== "post") { return; }
    if (form.classList.contains("under-way")) { event.preventDefault(); return; }
    if (form.querySelector("input[type=file]") && window.XMLHttpRequest) {
      event.preventDefault();
      upload(form);
      return;
    }
    if (form.hasAttribute("data-download")) { download(form); return; }
    form.classList.add("under-way");
    disable(form, true);
  });

  function disable(form, off) {
    /* After this turn of the loop: a disabled button is not sent along. */
    window.setTimeout(function () {
      form.querySelectorAll("button").forEach(function (button) { button.disabled = off; });
    }, 0);
  }

  /* Back from the next page, or a restored tab: the forms are ready again. */
  window.addEventListener("pageshow", function () {
    document.querySelectorAll("form.under-way").forEach(function (form) {
      form.classList.remove("under-way");
      disable(form, false);
    });
  });

  /* How much of its work the box has done, asked twice a second until the page stops it. */
  function follow(form) {
    var bar = form.querySelector("progress");
    if (!form.dataset.share) { return function () {}; }
    var asking = window.setInterval(function () {
      window.fetch(form.dataset.share).then(function (response) { return response.json(); }).then(function (answer) {
        if (answer.share === null || !asking) { return; }
        bar.hidden = false;
        bar.max = 1;
        bar.value = answer.share;
      }).catch(function () { /* the next one may be answered */ });
    }, 500);
    return function () {
      window.clearInterval(asking);
      asking = 0;
    };
  }

  /* A file goes with a bar that shows how much of it has gone. */
  function upload(form) {
    var request = new XMLHttpRequest();
    var bar = form.querySelector("progress");
    var stop = function () {};
    form.classList.add("under-way");
    disable(form, true);
    request.upload.addEventListener("progress", function (event) {
      if (!event.lengthComputable) { return; }
      bar.hidden = false;
      bar.max = event.total;
      bar.value = event.loaded;
    });
    request.upload.addEventListener("load", function () {
      bar.removeAttribute("value"); /* all of it has gone: the box checks it */
      form.classList.add("checking");
      stop = follow(form);
    });
    request.addEventListener("load", function () {
      stop();
      var onward = request.getResponseHeader("X-Onward") || window.location.pathname;
      window.location.hash = onward.split("#")[1] || "";
      if (onward.split("#")[0] === window.location.pathname) {
        window.location.reload();
      } else {
        window.location.assign(onward);
      }
    });
    ["error", "abort"].forEach(function (name) {
      request.addEventListener(name, function () {
        stop();
        form.classList.remove("under-way", "checking");
        bar.hidden = true;
        disable(form, false);
        form.querySelector(".failed").hidden = false;
      });
    });
    form.querySelector(".failed").hidden = true;
    request.open("POST", form.action);
    request.setRequestHeader("X-Upload", "1");
    request.send(new FormData(form));
  }

  /* A download is prepared on the box first: the cookie that comes with it says that it is ready. */
  function download(form) {
    var name = form.dataset.download;
    var started = String(Date.now());
    form.querySelector("input[name=ready]").value = started;
    form.classList.add("under-way");
    disable(form, true);
    var stop = follow(form);
    var waiting = window.setInterval(function () {
      if (document.cookie.split("; ").indexOf(name + "=" + started) < 0) { return; }
      window.clearInterval(waiting);
      stop();
      form.querySelector("progress").hidden = true;
      form.classList.remove("under-way");
      disable(form, false);
    }, 300);
  }

  /* The chart says the figures of the day that is tapped, pointed at or reached. */
  var chosen = "";
  ["click", "pointerover"].forEach(function (name) {
    document.addEventListener(name, function (event) {
      var day = event.target.closest && event.target.closest("[data-says]");
      if (!day) { return; }
      chosen = day.dataset.says;
      mark(day.closest(".card"));
    });
  });
  function mark(card) {
    var line = card.querySelector(".said");
    line.textContent = chosen || line.dataset.hint;
    card.querySelectorAll("[data-says]").forEach(function (day) {
      day.classList.toggle("chosen", day.dataset.says === chosen);
    });
  }

  /* Also in what the box sends later. */
  document.addEventListener("htmx:afterSwap", function (event) {
    event.target.querySelectorAll("[data-scripted]").forEach(function (element) { element.hidden = false; });
    if (chosen && event.target.querySelector(".chart")) { mark(event.target.querySelector(".card")); }
  });

  /* What needs scripts is shown where they run. */
  document.querySelectorAll("[data-scripted]").forEach(function (element) { element.hidden = false; });
}());
