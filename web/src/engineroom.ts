/**
 * The page's module: finds the room, and loads each kind of element that the page has, and no other.
 *
 * A page without a terminal never loads xterm, one without editors no CodeMirror.
 */

import "./styles/index.css";
import { startPage } from "./page";

void startPage(document, import.meta.url);
