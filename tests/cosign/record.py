"""Has cosign sign images in a real registry, and writes down what it put there: one file a key.

record.py COSIGN REGISTRY FOLDER: the programs, and where the files go. Private keys are left behind in a temporary folder that
is removed.
"""

import hashlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"

# Name, and the call of OpenSSL that makes the key; cosign makes its own where there is none.
KEYS = {
    "ecdsa-p256": None,
    "ecdsa-p384": ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
    "rsa-2048": ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    "rsa-4096": ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:4096"],
    "ed25519": ["genpkey", "-algorithm", "ED25519"],
}
OFFLINE = ["--tlog-upload=false", "--allow-http-registry", "--yes"]
SIMPLE = ["--new-bundle-format=false"]
BUNDLE = ["--new-bundle-format=true"]
SIGNING = ["--use-signing-config=false"]


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Registry:
    def __init__(self, program, folder):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = "127.0.0.1:%d" % free.getsockname()[1]
        config = {
            "version": "0.1",
            "log": {"level": "error", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
            "http": {"addr": self.address, "secret": "of-one-registry"},
        }
        (folder / "config.yml").write_text(json.dumps(config))
        env = {**os.environ, "OTEL_TRACES_EXPORTER": "none"}
        self.process = subprocess.Popen([program, "serve", folder / "config.yml"], env=env, stderr=subprocess.DEVNULL)
        for _ in range(100):
            try:
                return self.ask("GET", "/v2/") and None
            except urllib.error.URLError:
                time.sleep(0.1)
        raise SystemExit("the registry does not answer")

    def ask(self, method, path, data=None, **headers):
        url = path if path.startswith("http") else "http://" + self.address + path
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(url, data, headers, method=method)
        return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request)

    def push_blob(self, name, data):
        place = self.ask("POST", f"/v2/{name}/blobs/uploads/", b"").headers["Location"]
        self.ask("PUT", f"{place}&digest={digest(data)}", data, Content_Type="application/octet-stream")

    def push(self, name, tag, data, kind):
        self.ask("PUT", f"/v2/{name}/manifests/{tag}", data, Content_Type=kind)

    def manifest(self, name, reference):
        try:
            answer = self.ask("GET", f"/v2/{name}/manifests/{reference}", Accept=f"{MANIFEST}, {INDEX}")
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise
        return answer.read(), answer.headers["Content-Type"]

    def blob(self, name, of):
        return self.ask("GET", f"/v2/{name}/blobs/{of}").read()


def image(registry, name):
    """An image of a few bytes, the same in every repository."""
    layer = bytes(1024)
    config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": [digest(layer)]}}
    config = json.dumps(config).encode()
    for data in (layer, config):
        registry.push_blob(name, data)
    entry = lambda kind, data: {"mediaType": kind, "digest": digest(data), "size": len(data)}
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": entry("application/vnd.oci.image.config.v1+json", config),
        "layers": [entry("application/vnd.oci.image.layer.v1.tar", layer)],
    }
    manifest = json.dumps(manifest).encode()
    registry.push(name, "v1", manifest, MANIFEST)
    return manifest


def written(registry, name, of_image):
    """Everything that was put beside the image: blobs as texts, manifests with their tags, those first that others name."""
    blobs, manifests = [], []

    def take(reference, tag):
        found = registry.manifest(name, reference)
        if found is None:
            return
        data, kind = found
        parsed = json.loads(data)
        for inner in parsed.get("manifests", []):
            take(inner["digest"], None)
        for entry in filter(None, [parsed.get("config"), *parsed.get("layers", [])]):
            text = registry.blob(name, entry["digest"]).decode()
            if text not in blobs:
                blobs.append(text)
        manifests.append({"tag": tag, "mediaType": kind, "content": data.decode()})

    plain = of_image.replace(":", "-")
    for tag in (plain + ".sig", plain):
        take(tag, tag)
    return {"blobs": blobs, "manifests": manifests}


def main(cosign, program, folder):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        env = {**os.environ, "COSIGN_PASSWORD": "only-here", "HOME": str(scratch)}
        registry = Registry(program, scratch)

        def call(*args):
            done = subprocess.run([cosign, *args], env=env, cwd=scratch, capture_output=True, text=True)
            if done.returncode != 0:
                raise SystemExit(f"cosign {args}: {done.stderr}")
            return done.stdout + done.stderr

        try:
            version = [line.split()[-1] for line in call("version").splitlines() if line.startswith("GitVersion")][0]
            for key, recipe in KEYS.items():
                prefix = key
                if recipe is None:
                    call("generate-key-pair", "--output-key-prefix", prefix)
                else:
                    subprocess.run(["openssl", *recipe, "-out", scratch / "plain.pem"], check=True, capture_output=True)
                    call("import-key-pair", "--key", "plain.pem", "--output-key-prefix", prefix, "--yes")
                (scratch / "predicate.json").write_text('{"checked": true}')
                signed = {}
                for way, args in {
                    "simple": ["sign", *SIMPLE, *SIGNING],
                    "bundle": ["sign", *BUNDLE, *SIGNING],
                    "attestation": ["attest", *BUNDLE, *SIGNING, "--type", "custom", "--predicate", "predicate.json"],
                }.items():
                    name = f"{key}/{way}"
                    manifest = image(registry, name)
                    call(*args, *OFFLINE, "--key", prefix + ".key", f"{registry.address}/{name}@{digest(manifest)}")
                    signed[way] = written(registry, name, digest(manifest))
                    if not signed[way]["manifests"]:
                        raise SystemExit(f"cosign has put nothing beside {name}")
                record = {"cosign": version, "publicKey": (scratch / (prefix + ".pub")).read_text(), "signed": signed}
                record["image"] = {
                    "manifest": manifest.decode(),
                    "config": registry.blob(name, json.loads(manifest)["config"]["digest"]).decode(),
                }
                (folder / (key + ".json")).write_text(json.dumps(record, indent=1) + "\n")
                print("cosign", version, key)
        finally:
            registry.process.terminate()
            registry.process.wait()


main(*sys.argv[1:])
