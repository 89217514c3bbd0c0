// The page /sandcell: the inspector over Jupyter's server, without a kernel.

import { Inspector } from "./inspector.js";
import { ServerLink } from "./server_link.js";

const base = document.querySelector('meta[name="sandcell-base"]').content;
const root = document.createElement("main");
document.body.append(root);
const inspector = new Inspector(root);
const token = new URLSearchParams(location.search).get("token") ?? "";
inspector.use(new ServerLink(base, token));
// Jupyter keeps the login in a cookie; the address need not show the token any longer.
if (token) history.replaceState(null, "", location.pathname);
