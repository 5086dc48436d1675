#!/usr/bin/env python3
"""What scanners say of TLS: testssl.sh (Debian) and sslyze (PyPI) find nothing above LOW, and the configuration is Mozilla's "intermediate".

    tls.py TIDEGATE SSLYZE

A server that speaks old protocols with weak suites is scanned first and must be found: else the tools find nothing,
and nothing found means nothing.
"""

import json
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

EXTENSIONS = """\
subjectAltName=DNS:localhost
basicConstraints=critical,CA:FALSE
extendedKeyUsage=serverAuth
keyUsage=critical,digitalSignature
"""
CONFIG = """\
[log.access]
output = "off"
[[listeners]]
name = "web"
bind = ["127.0.0.1:{port}"]
protocol = "http"
tls = {{ certificates = [
  {{ certificate = "ecdsa.pem", key = "ecdsa.key" }}, {{ certificate = "rsa.pem", key = "rsa.key" }},
] }}
[[routes]]
name = "all"
respond = {{ status = 200, body = "here" }}
"""
KEYS = {"ecdsa": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "rsa": ["rsa:2048"]}
# Protocols, suites, forward secrecy, known vulnerabilities.
SECTIONS = ["-p", "-s", "-f", "-U"]
BAD = {"MEDIUM", "HIGH", "CRITICAL"}


def openssl(folder, *arguments):
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def certificates(folder):
    """An authority, and a certificate of each kind of key that it signed."""
    openssl(
        folder, "req", "-x509", "-newkey", *KEYS["ecdsa"], "-nodes", "-keyout", "ca.key", "-out", "ca.pem",
        "-days", "30", "-subj", "/CN=Gate Authority", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
    )
    folder.joinpath("extensions").write_text(EXTENSIONS)
    for kind, key in KEYS.items():
        openssl(
            folder, "req", "-newkey", *key, "-nodes", "-keyout", f"{kind}.key", "-out", f"{kind}.csr",
            "-subj", "/CN=localhost",
        )
        openssl(
            folder, "x509", "-req", "-in", f"{kind}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-days", "30", "-extfile", "extensions", "-out", f"{kind}.pem",
        )


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port):
    for _ in range(500):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    sys.exit("nobody listens")


def testssl(folder, port):
    """What testssl.sh finds above LOW."""
    found = folder / f"{port}.json"
    subprocess.run(
        ["testssl", "--quiet", "--color", "0", "--warnings", "batch", "--ip", "one", "--jsonfile", found,
         "--add-ca", folder / "ca.pem", *SECTIONS, f"localhost:{port}"],
        stdout=subprocess.DEVNULL, timeout=900,
    )
    findings = json.loads(found.read_text())
    if len(findings) < 30:
        sys.exit(f"testssl.sh broke off: {findings}")
    return [f"{one['id']}: {one['severity']}: {one['finding']}" for one in findings if one["severity"] in BAD]


def sslyze(program, folder, port):
    """What sslyze says of it, if it is not compliant."""
    scan = subprocess.run(
        [program, "--mozilla_config", "intermediate", f"--certinfo_ca_file={folder / 'ca.pem'}", f"localhost:{port}"],
        capture_output=True, text=True, timeout=900,
    )
    verdict = scan.stdout[scan.stdout.find("COMPLIANCE"):]
    return None if scan.returncode == 0 and "OK - Compliant" in verdict else verdict


def main():
    binary, scanner = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        certificates(folder)
        port = free_port()
        weak = subprocess.Popen(
            ["openssl", "s_server", "-accept", str(port), "-cert", "rsa.pem", "-key", "rsa.key", "-www", "-quiet",
             "-cipher", "ALL:@SECLEVEL=0"],
            cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        try:
            wait_for(port)
            if not testssl(folder, port) or sslyze(scanner, folder, port) is None:
                sys.exit("a weak server was not found: the scanners find nothing")
        finally:
            weak.kill()
            weak.wait()
        port = free_port()
        folder.joinpath("tidegate.toml").write_text(CONFIG.format(port=port))
        proxy = subprocess.Popen([binary, "run", "-c", "tidegate.toml"], cwd=folder, stderr=subprocess.DEVNULL)
        try:
            wait_for(port)
            found, verdict = testssl(folder, port), sslyze(scanner, folder, port)
        finally:
            proxy.kill()
            proxy.wait()
    for line in found:
        print("testssl.sh:", line)
    if verdict:
        print("sslyze:", verdict)
    if found or verdict:
        sys.exit(1)
    print("testssl.sh: nothing above LOW; sslyze: Mozilla intermediate")


main()
