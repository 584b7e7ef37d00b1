-- What sessions in memory answer needs no index: each costs a page for every session that comes or goes.
DROP INDEX sessions_by_country;
DROP INDEX sessions_by_asn;
