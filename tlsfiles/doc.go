// Package tlsfiles gives TLS configurations whose certificate, key and certificate authorities are
// files that may be replaced while the program runs.
//
// The files are looked at when a connection is made, at most once a second; nothing watches them in
// between. A new certificate is used when the whole set can be read and fits together. Until then,
// as while somebody is copying the files one after the other, the old set serves. Connections that
// exist are left alone: what they were made with is theirs until they end.
package tlsfiles
