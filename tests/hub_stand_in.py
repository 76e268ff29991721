"A Hub on loopback for the real huggingface_hub client: repositories, preupload, LFS, commits; with failures on demand."
import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LARGE = ('.parquet', '.safetensors') # What the Hub keeps as large files


class Hub:
    "The state of the Hub: files of each repository, objects of the large-file store, and what was asked."
    def __init__(self):
        self.repos, self.objects, self.log, self.commits = {}, {}, [], 0
        self.private, self.fail, self.token = {}, [], 'test-token'
        self.server = ThreadingHTTPServer(('127.0.0.1', 0), type('Bound', (Handler,), dict(hub=self)))
        self.url = f'http://127.0.0.1:{self.server.server_port}'

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error):
        self.server.shutdown()
        self.server.server_close()

    def files(self, repo): return {path: self.objects[oid] for path, oid in self.repos[repo].items()}
    def sent(self): return sum(method == 'PUT' for method, _ in self.log)


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *args): pass

    def reply(self, status, value=None, headers=()):
        body = json.dumps(value).encode()
        self.send_response(status)
        for name, text in (('Content-Type', 'application/json'), ('Content-Length', str(len(body))), *headers): self.send_header(name, text)
        self.end_headers()
        if self.command != 'HEAD': self.wfile.write(body)

    def body(self): return self.rfile.read(int(self.headers.get('Content-Length') or 0))

    def failed(self):
        "Answer with the next failure that was ordered for this path, if any."
        self.hub.log.append((self.command, self.path))
        for i, (word, failure) in enumerate(self.hub.fail):
            if word not in self.path: continue
            self.hub.fail.pop(i)
            self.body()
            if failure == 'drop': self.close_connection = True; self.connection.close()
            else: self.reply(failure, dict(error='ordered by the test'))
            return True
        if '/lfs/' not in self.path and self.headers.get('Authorization') != f'Bearer {self.hub.token}':
            self.body()
            self.reply(401, dict(error='Invalid credentials'))
            return True
        return False

    def do_POST(self):
        if self.failed(): return
        data, hub = self.body(), self.hub
        if self.path == '/api/repos/create':
            ask = json.loads(data)
            repo = f"{ask['organization']}/{ask['name']}"
            if repo in hub.repos: return self.reply(409, dict(error='You already created this repo', url=f'{hub.url}/{repo}'))
            hub.repos[repo], hub.private[repo] = {}, ask.get('visibility') == 'private'
            return self.reply(200, dict(url=f'{hub.url}/' + ('datasets/' if ask['type'] == 'dataset' else '') + repo))
        if self.path == '/api/validate-yaml':
            import yaml
            head = re.match(r'---\n(.*?)\n---\n', json.loads(data)['content'], re.S)
            ok = bool(head) and isinstance(yaml.safe_load(head[1]), dict)
            return self.reply(200 if ok else 400, dict(errors=[] if ok else [dict(message='no front matter')], warnings=[]))
        if m := re.fullmatch(r'/api/(?:dataset|model)s/([^/]+/[^/]+)/preupload/main', self.path): return self.preupload(m[1], json.loads(data))
        if self.path.endswith('/info/lfs/objects/batch'): return self.batch(json.loads(data))
        if self.path == '/lfs/verify': return self.reply(200 if json.loads(data)['oid'] in hub.objects else 404, {})
        if m := re.fullmatch(r'/api/(?:dataset|model)s/([^/]+/[^/]+)/commit/main', self.path): return self.commit(m[1], data)
        self.reply(404, dict(error=f'no such address: {self.path}'))

    def preupload(self, repo, ask):
        def one(f):
            large, there = f['path'].endswith(LARGE), self.hub.repos[repo].get(f['path'])
            blob = there and self.hub.objects[there]
            oid = there if large else blob and hashlib.sha1(b'blob %d\0' % len(blob) + blob).hexdigest()
            return dict(path=f['path'], uploadMode='lfs' if large else 'regular', shouldIgnore=False, oid=oid)
        self.reply(200, dict(files=[one(f) for f in ask['files']]))

    def batch(self, ask):
        def one(o):
            if o['oid'] in self.hub.objects: return dict(oid=o['oid'], size=o['size'])
            return dict(oid=o['oid'], size=o['size'], actions=dict(upload=dict(href=f"{self.hub.url}/lfs/{o['oid']}"), verify=dict(href=f'{self.hub.url}/lfs/verify')))
        self.reply(200, dict(transfer='basic', objects=[one(o) for o in ask['objects']]))

    def do_PUT(self):
        if self.failed(): return
        data, oid = self.body(), self.path.rsplit('/', 1)[1]
        if hashlib.sha256(data).hexdigest() != oid: return self.reply(422, dict(error='the content is not what its name says'))
        self.hub.objects[oid] = data
        self.reply(200, {})

    def commit(self, repo, data):
        changes = {}
        for op in map(json.loads, data.splitlines()):
            value = op['value']
            if op['key'] == 'lfsFile':
                if value['oid'] not in self.hub.objects: return self.reply(422, dict(error=f"{value['path']} was not uploaded"))
                changes[value['path']] = value['oid']
            if op['key'] == 'file':
                content = base64.b64decode(value['content'])
                changes[value['path']] = hashlib.sha256(content).hexdigest()
                self.hub.objects[changes[value['path']]] = content
        self.hub.repos[repo].update(changes)
        self.hub.commits += 1
        oid = hashlib.sha1(str(self.hub.commits).encode()).hexdigest()
        self.reply(200, dict(commitUrl=f'{self.hub.url}/{repo}/commit/{oid}', commitOid=oid))

    def do_HEAD(self): self.do_GET()

    def resolve(self, repo, path):
        "One file of `repo`, its state and hash in the head as the client wants them."
        data, state = self.hub.files(repo).get(path), hashlib.sha1(str(self.hub.commits).encode()).hexdigest()
        if data is None: return self.reply(404, None, [('X-Error-Code', 'EntryNotFound'), ('X-Repo-Commit', state)])
        self.send_response(200)
        for name, text in (('Content-Length', str(len(data))), ('ETag', f'"{hashlib.sha1(data).hexdigest()}"'), ('X-Repo-Commit', state)): self.send_header(name, text)
        self.end_headers()
        if self.command == 'GET': self.wfile.write(data)

    def do_GET(self):
        if self.failed(): return
        if (m := re.fullmatch(r'/([^/]+/[^/]+)/resolve/[^/]+/(.+)', self.path)) and m[1] in self.hub.repos: return self.resolve(m[1], m[2])
        if m := re.match(r'/api/(?:dataset|model)s/([^/]+/[^/?]+)/tree/(?:main|[0-9a-f]{40})', self.path):
            return self.reply(200, [dict(type='file', path=p, size=1, oid=oid) for p, oid in self.hub.repos[m[1]].items()])
        if m := re.fullmatch(r'/api/(dataset|model)s/([^/]+/[^/?]+)(?:/revision/main)?', self.path):
            return self.reply(200, dict(id=m[2], sha=hashlib.sha1(str(self.hub.commits).encode()).hexdigest(), private=False, tags=[], siblings=[], downloads=0, likes=0))
        self.reply(404, dict(error=f'no such address: {self.path}'))
