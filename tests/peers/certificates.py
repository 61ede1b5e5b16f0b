"""A certificate authority and what it signed, made by openssl in the sandbox."""
import ssl

from .process import need_program


class Certificates:
    """`ca` is the authority's certificate; issue() gives (certificate, key) paths for names."""

    def __init__(self, sandbox):
        self.sandbox = sandbox
        self.openssl = need_program("openssl")
        self.key = sandbox.path("tls", "ca.key")
        self.ca = sandbox.path("tls", "ca.pem")
        sandbox.run(self.openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", self.key, "-out", self.ca, "-days", "30", "-subj", "/CN=Test CA")

    def issue(self, name, *more, file=None):
        file = file or name
        key, request = self.sandbox.path("tls", f"{file}.key"), self.sandbox.path("tls", f"{file}.csr")
        certificate = self.sandbox.path("tls", f"{file}.pem")
        names = self.sandbox.write(f"tls/{file}.ext", "subjectAltName=" + ",".join(
            ("IP:" if n[0].isdigit() else "DNS:") + n for n in (name, *more)) + "\n")
        self.sandbox.run(self.openssl, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                         "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        self.sandbox.run(self.openssl, "x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.key,
                         "-CAcreateserial", "-days", "30", "-extfile", names, "-out", certificate)
        key.chmod(0o644)
        return certificate, key

    def client_context(self, verify=True):
        context = ssl.create_default_context(cafile=str(self.ca)) if verify else ssl._create_unverified_context()
        return context
