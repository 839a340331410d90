// The page in a file: its explanation stands in the page itself.

import { start } from "./app.js";

start(document.body, JSON.parse(document.getElementById("explanation").textContent));
