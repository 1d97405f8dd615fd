// Package session keeps HTTP sessions on the server.
package session
