"""A web server for a container: it tells what it was sent, and sends what a hostile one would."""

from sandcell import Engine, SandcellError

PORT = 8000

PROGRAM = r'''
import base64, hashlib, http.server, json

PAGE = b"""<!doctype html><link rel=stylesheet href=a.css><body><script>
const told = {origin: self.origin};
const tell = (key, value) => { told[key] = value; document.title = JSON.stringify(told); };
try { tell("cookie", document.cookie); } catch { tell("cookie", "refused"); }
try { tell("storage", `${localStorage.length}`); } catch { tell("storage", "refused"); }
const ask = (key, place) => fetch(place).then((answer) => answer.text())
  .then((text) => tell(key, text), () => tell(key, "refused"));
ask("api", "/sandcell/api/about");
ask("contents", "/api/contents");
ask("data", "data.txt");
const socket = new WebSocket(location.href.replace("http", "ws") + "socket");
socket.onmessage = (message) => message.data === "hello" && tell("socket", message.data);
</script><form method=post action=form><input name=a value=b><button>go</button></form>"""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def send(self, kind, body, status=200, **headers):
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": len(body), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.send_header("Set-Cookie", "stolen=1; Path=/")
        if self.path == "/broken":
            self.send_header("X-Evil", "a\rSet-Cookie: stolen=2")
        self.send_header("Access-Control-Allow-Credentials", "true")
        self.send_header("Clear-Site-Data", '"cookies"')
        self.send_header("Content-Security-Policy", "default-src * 'unsafe-inline' 'unsafe-eval'")
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/socket":
            key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
            self.send_response(101)
            self.send_header("Upgrade", "websocket")
            self.send_header("Connection", "Upgrade")
            accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
            self.send_header("Sec-WebSocket-Accept", accept)
            self.send_header("Set-Cookie", "stolen=1; Path=/")
            self.end_headers()
            told = json.dumps(dict(self.headers)).encode()
            self.wfile.write(b"\x81\x7e" + len(told).to_bytes(2) + told)
            self.wfile.write(b"\x81\x05hello")
            self.wfile.flush()
            head = self.rfile.read(6)
            data = bytes(one ^ head[2 + at % 4] for at, one in enumerate(self.rfile.read(head[1] & 127)))
            self.wfile.write(bytes([0x81, len(data)]) + data[::-1])
            self.close_connection = True
        elif self.path == "/":
            self.send("text/html", PAGE)
        elif self.path == "/a.css":
            self.send("text/css", b"body { color: rgb(1, 2, 3) }")
        elif self.path == "/data.txt":
            self.send("text/plain", b"data")
        elif self.path == "/broken":
            self.send("text/plain", b"broken")
        elif self.path == "/moved":
            self.send("text/plain", b"", 302, Location="/data.txt")
        elif self.path == "/large":
            self.send("application/octet-stream", b"x" * 5_000_000)
        else:
            self.send("application/json", json.dumps([self.path, dict(self.headers)]).encode())

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.send("text/plain", b"posted " + body)

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", 8000), Handler).serve_forever()
'''


def listens(engine: Engine, name: str) -> bool:
    """Does the one in that container listen yet?"""
    try:
        engine.connect(name, PORT).close()
    except SandcellError:
        return False
    return True
