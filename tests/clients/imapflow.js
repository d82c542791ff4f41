// What test_imapflow.py asks of imapflow. node imapflow.js MODULES SCENARIO OPTIONS: says lines of JSON, and waits for a line on
// standard input where the test has something to do in between.
'use strict';

const path = require('path');
const readline = require('readline');
const [modules, scenario, text] = process.argv.slice(2);
const { ImapFlow } = require(path.join(modules, 'imapflow'));
const given = JSON.parse(text);

const plain = (key, value) => {
    if (typeof value === 'bigint') return Number(value);
    if (value instanceof Map) return Object.fromEntries(value);
    if (value instanceof Set) return [...value].sort();
    if (Buffer.isBuffer(value)) return value.toString('latin1');
    if (value && value.type === 'Buffer') return Buffer.from(value.data).toString('latin1');
    return value;
};
const say = (what, value) => process.stdout.write(JSON.stringify([what, value === undefined ? null : value], plain) + '\n');
const input = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const told = async () => (await input.next()).value;

function client(more) {
    return new ImapFlow({
        host: 'localhost', port: given.port, secure: given.secure, auth: given.auth, logger: false,
        tls: { ca: require('fs').readFileSync(given.certificate) }, clientInfo: { name: 'test' }, ...more
    });
}

async function all(rows) {
    const found = [];
    for await (const row of rows) found.push(row);
    return found;
}

async function read(stream) {
    const parts = [];
    for await (const part of stream) parts.push(part);
    return Buffer.concat(parts);
}

const FLAGS = { uid: true, flags: true };

const scenarios = {
    async connect() {
        const c = client({ qresync: true });
        await c.connect();
        say('connected', {
            secure: c.secureConnection, server: c.serverInfo, enabled: c.enabled, compressed: c._deflate !== undefined && !!c._deflate,
            capabilities: [...c.capabilities.keys()]
        });
        await c.logout();
    },

    async folders() {
        const c = client();
        await c.connect();
        say('created', await c.mailboxCreate(['Projekte', 'Für & wider']));
        await c.mailboxSubscribe('Projekte/Für & wider');
        await c.append('Projekte/Für & wider', 'Subject: x\r\n\r\ny\r\n', ['\\Seen']);
        say('list', await c.list({ statusQuery: { messages: true, unseen: true, uidNext: true, uidValidity: true, highestModseq: true } }));
        say('renamed', await c.mailboxRename('Projekte/Für & wider', 'Projekte/Neu'));
        say('status', await c.status('Projekte/Neu', { messages: true, unseen: true }));
        await c.mailboxUnsubscribe('Projekte/Neu');
        say('deleted', await c.mailboxDelete('Projekte/Neu'));
        say('left', (await c.list()).map(m => m.path));
        await c.logout();
    },

    async messages() {
        const c = client();
        await c.connect();
        for (const [name, source] of Object.entries(given.messages))
            say('appended', await c.append('INBOX', Buffer.from(source, 'latin1'), ['\\Seen', 'Label1'], new Date(Date.UTC(2020, 1, 3, 4, 5, 6)), name));
        await c.mailboxCreate('Kept');
        await c.mailboxCreate('Labelled');
        const lock = await c.getMailboxLock('INBOX');
        const second = c.getMailboxLock('Kept'); // waits until the first is released
        say('fetched', await all(c.fetch('1:*', {
            uid: true, flags: true, envelope: true, bodyStructure: true, internalDate: true, size: true, source: true, labels: true,
            threadId: true, headers: ['subject'], bodyParts: ['1', 'text']
        })));
        say('one', await c.fetchOne('*', { uid: true, source: { start: 2, maxLength: 10 } }));
        for (const query of given.searches) say('search', await c.search(query, { uid: true }));
        await c.messageFlagsAdd('1:2', ['\\Flagged', '$Forwarded'], { uid: true });
        await c.messageFlagsRemove('1', ['Label1'], { uid: true });
        await c.messageFlagsSet('3', ['\\Draft'], { uid: true });
        say('flags', await all(c.fetch('1:*', FLAGS)));
        say('labelled', await c.messageFlagsAdd('3', ['Labelled'], { uid: true, useLabels: true }));
        say('labels', (await all(c.fetch('1:*', { uid: true, labels: true }))).map(row => row.labels));
        for (const part of given.parts) {
            const { meta, content } = await c.download(String(part.uid), part.part, { uid: true });
            say('download', { meta, content: await read(content) });
        }
        say('many', await c.downloadMany('1', ['1', '2'], { uid: true }));
        say('copied', await c.messageCopy('1', 'Kept', { uid: true }));
        say('moved', await c.messageMove('2', 'Kept', { uid: true }));
        say('deleted', await c.messageDelete('3', { uid: true }));
        say('left', await all(c.fetch('1:*', FLAGS)));
        lock.release();
        (await second).release();
        say('now in', { path: c.mailbox.path, exists: c.mailbox.exists });
        await c.mailboxClose();
        await c.logout();
    },

    async idle() {
        const c = client({ qresync: true });
        await c.connect();
        await c.mailboxOpen('INBOX');
        for (const event of ['exists', 'flags', 'expunge'])
            c.on(event, e => say(event, { ...e, flags: e.flags && [...e.flags].sort() }));
        const idling = c.idle();
        say('idling');
        await told();
        await c.noop(); // ends IDLE
        await idling;
        await c.logout();
    },

    async resync() {
        const before = client({ qresync: true });
        await before.connect();
        const known = await before.mailboxOpen('INBOX');
        const { uidValidity, highestModseq } = known;
        await before.logout();
        say('known', { uidValidity, highestModseq, exists: known.exists });
        await told();
        const c = client({ qresync: true });
        await c.connect();
        c.on('expunge', e => say('expunge', e));
        c.on('flags', e => say('flags', { ...e, flags: [...e.flags].sort() }));
        const now = await c.mailboxOpen('INBOX', { uidValidity, changedSince: highestModseq });
        say('opened', { qresync: now.qresync, exists: now.exists });
        say('changed', await all(c.fetch('1:*', FLAGS, { uid: true, changedSince: highestModseq })));
        say('unchanged', await all(c.fetch('1:*', FLAGS, { uid: true, changedSince: now.highestModseq })));
        say('refused', await c.messageFlagsAdd(given.uid, ['\\Answered'], { uid: true, unchangedSince: highestModseq }));
        await c.logout();
    }
};

scenarios[scenario]().then(() => process.exit(0), error => {
    process.stderr.write(`${scenario}: ${error.stack}\n${error.responseText || ''}\n`);
    process.exit(1);
});
