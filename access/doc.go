// Package access decides who may do what: principals with roles in projects, one rule for every route of the API, and
// the objects that access is made of (projects and their quotas, tokens, records of changes). It reads no clock and
// keeps no secret: a token is known here by the SHA-256 of its secret only.
package access
