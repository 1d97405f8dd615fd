package cache

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// Over TLS everything works, and works again after an outage.
func TestTLS(t *testing.T) {
	redistest.Long(t)
	redistest.EachPrivate(t, []redistest.Topology{redistest.Standalone, redistest.RESP2}, func(t *testing.T, s *redistest.Server) {
		addr, trust := listenTLS(t, s)
		secure := func(o *redis.UniversalOptions) { o.Addrs, o.TLSConfig = []string{addr}, trust }
		if err := conforms(t, s, "tls", secure); err != nil {
			t.Error(err)
		}
		c := newCache(t, s.Client(t, secure), Options{Timeout: patience})
		s.Do(t, "config", "rewrite") // for the restart
		worksAgain(t, c)
		s.Kill(t)
		outage(t, c)
		s.Restart(t)
		worksAgain(t, c)
		// Who does not trust the server gets what he loads.
		doubts := newCache(t, s.Client(t, func(o *redis.UniversalOptions) {
			o.Addrs, o.TLSConfig = []string{addr}, &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
		}), Options{Timeout: patience})
		outage(t, doubts)
	})
}

// listenTLS makes a private server listen for TLS connections too, and returns
// where, and whom to trust. It skips the test if the server was built without.
func listenTLS(t *testing.T, s *redistest.Server) (addr string, trust *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	certFile, keyFile := write("cert", "CERTIFICATE", cert), write("key", "PRIVATE KEY", private)
	rdb := s.Client(t)
	for range 5 { // a port that is free now may not be a moment later
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr = l.Addr().String()
		_ = l.Close()
		port := l.Addr().(*net.TCPAddr).Port
		err = rdb.Do(t.Context(), "config", "set", "tls-cert-file", certFile, "tls-key-file", keyFile,
			"tls-ca-cert-file", certFile, "tls-auth-clients", "no", "tls-port", strconv.Itoa(port)).Err()
		if err == nil {
			roots := x509.NewCertPool()
			parsed, _ := x509.ParseCertificate(cert)
			roots.AddCert(parsed)
			return addr, &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
		}
		if strings.Contains(err.Error(), "Unknown option") {
			t.Skip("the server was built without TLS")
		}
		t.Log(err)
	}
	t.Fatal("the server does not listen for TLS")
	return "", nil
}
