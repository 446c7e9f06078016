"use strict";
// One study at a time, chosen by the list, the buttons or the address; without this script all of them are shown.
const studies = [...document.querySelectorAll(".study")];
const chooser = document.getElementById("choose-study");
function show(id) {
  const chosen = studies.find((study) => study.id === id);
  if (!chosen) return;
  for (const study of studies) study.hidden = study !== chosen;
  chooser.value = id;
}
function step(by) {
  const options = [...chooser.options];
  show(options[(chooser.selectedIndex + by + options.length) % options.length].value);
}
function follow() {
  const id = decodeURIComponent(location.hash.slice(1));
  show(id);
  if (studies.some((study) => study.id === id)) document.getElementById(id).scrollIntoView();
}
if (studies.length) {
  show(chooser.value);
  chooser.addEventListener("change", () => show(chooser.value));
  document.getElementById("previous-study").addEventListener("click", () => step(-1));
  document.getElementById("next-study").addEventListener("click", () => step(1));
  window.addEventListener("hashchange", follow);
  follow();
}
// The section in view is the one named in the contents.
const links = new Map([...document.querySelectorAll(".contents a")].map((link) => [link.hash.slice(1), link]));
function point(section) {
  for (const [id, link] of links) link.toggleAttribute("aria-current", id === section);
}
const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) point(entry.target.id);
}, { rootMargin: "-20% 0px -75% 0px" });
point(links.keys().next().value);
for (const id of links.keys()) seen.observe(document.getElementById(id));
