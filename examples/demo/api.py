"""A small web server on $PORT that greets and counts."""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    count = 0

    def do_GET(self):
        type(self).count += 1
        body = f"hello, request {self.count}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


address = ("127.0.0.1", int(os.environ["PORT"]))
print(f"listening on http://{address[0]}:{address[1]}/")
ThreadingHTTPServer(address, Handler).serve_forever()
