#!/bin/sh
# Certificates and keys that the library under test would not make. OpenSSL 3; the password is "secret" everywhere.
set -e
cd "$(dirname "$0")"

# An RSA key whose primes are known: those of the groups ffdhe8192 (RFC 7919) and 18 (RFC 3526). To prove them prime takes 38 s.
openssl genpkey -algorithm DH -pkeyopt group:ffdhe8192 -out p.pem
openssl genpkey -algorithm DH -pkeyopt group:modp_8192 -out q.pem
python3 - <<'PYTHON'
import math
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateNumbers, RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import (
    Encoding, NoEncryption, PrivateFormat, load_pem_private_key)
def prime(path):
    return load_pem_private_key(open(path, "rb").read(), None).parameters().parameter_numbers().p
p, q, e = prime("p.pem"), prime("q.pem"), 65537
d = pow(e, -1, math.lcm(p - 1, q - 1))
numbers = RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), RSAPublicNumbers(e, p * q))
key = numbers.private_key(unsafe_skip_rsa_key_validation=True)
with open("rsa_16384.key", "wb") as file:
    file.write(key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
PYTHON
rm p.pem q.pem

for bits in 1024 2048 8192; do openssl genrsa -out rsa_$bits.key $bits; done
openssl rsa -in rsa_2048.key -traditional -aes128 -passout pass:secret -out rsa_2048_legacy.key
openssl ecparam -name prime256v1 -genkey -noout -out ec.key

# Keys of other kinds, each in one file with its certificate.
openssl dsaparam -genkey -out dsa.pem 2048
openssl genpkey -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048 -out rsa_pss.pem
openssl ecparam -name prime256v1 -genkey -noout -param_enc explicit -out explicit_curve.pem
for kind in dsa rsa_pss explicit_curve; do
  openssl req -x509 -new -key $kind.pem -sha256 -subj /CN=$kind -days 36500 -addext subjectAltName=DNS:cam.example.org \
    -addext basicConstraints=critical,CA:FALSE -out new.crt
  cat new.crt >>$kind.pem
done

# Signatures with broken digests.
printf '%s\n' subjectAltName=DNS:cam.example.org basicConstraints=critical,CA:FALSE extendedKeyUsage=serverAuth >new.ext
openssl req -x509 -new -key rsa_2048.key -sha256 -subj "/CN=Old CA" -days 36500 -out old_ca.crt
openssl req -new -key ec.key -subj /CN=cam.example.org -out new.csr
for digest in md5 sha1; do
  openssl x509 -req -in new.csr -CA old_ca.crt -CAkey rsa_2048.key -$digest -days 36500 -extfile new.ext -out issued_$digest.crt
done
openssl req -x509 -new -key ec.key -sha1 -subj /CN=cam.example.org -days 36500 -addext subjectAltName=DNS:cam.example.org \
  -addext basicConstraints=critical,CA:FALSE -out self_signed_sha1.crt

# OpenSSL's own form, with trust settings behind the certificate.
openssl x509 -req -in new.csr -CA old_ca.crt -CAkey rsa_2048.key -sha256 -days 36500 -extfile new.ext -out new.crt
openssl x509 -in new.crt -trustout -addtrust serverAuth -out trusted.crt

# Bombs: 20 million rounds of PBKDF2, the same for the MAC of PKCS#12, and scrypt that wants 1 GB (N patched to 2^22, r = 2).
openssl pkcs8 -topk8 -in ec.key -v2 aes-256-cbc -iter 20000000 -passout pass:secret -out pbkdf2_20m.key
openssl pkcs12 -export -inkey ec.key -in new.crt -keypbe NONE -certpbe NONE -iter 20000000 -passout pass:secret -out mac_20m.p12
openssl pkcs8 -topk8 -in ec.key -scrypt -scrypt_N 32768 -scrypt_r 2 -passout pass:secret -outform DER -out new.der
python3 -c 'import sys; d = sys.stdin.buffer.read(); old, new = b"\2\3\0\x80\0", b"\2\3\x40\0\0"; assert d.count(old) == 1
sys.stdout.buffer.write(d.replace(old, new))' <new.der >scrypt_1gb.der
rm new.*
