// The page in a file: its explanation stands in the page itself.

import { start } from "./app.js";

const note = "This file holds one sentence. To type others and to hide words, serve the model: bertsmith serve MODEL.";
start(document.body, JSON.parse(document.getElementById("explanation").textContent), { note });
