// History records what concurrent clients of the API saw, and says whether that is linearizable.
//
//	history record --seed 7 --monitor ids http://10.255.0.21:8080 http://10.255.0.22:8080 > history.jsonl
//	history check --picture history.html history.jsonl
//
// record works on a few objects, each client on all of them through all replicas, until its standard
// input ends; then it reads everything once more through every replica, and ends. check exits with 1
// when no order of the operations explains every answer, and writes a picture that shows where.
//
// Rivals are clients that replace two objects of a group of their own at the same time, each bound to the revision that all of
// them know, and read what was acknowledged at once through another replica.
//
// A group is a network, two ports in it that compete for two MAC addresses, and a tap of one of them:
// with references and unique values between them they are one object for the checker, whose model
// (model.go) knows the reason of every refusal.
package main
