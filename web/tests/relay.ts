/** An address that stays while servers behind it go and come: no port has to be free once more. */

import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";

export interface Relay {
  readonly url: string;
  /** Connections from now on, and no older ones, are to the server at `url`; to none without it. */
  lead(url?: string): void;
  close(): Promise<void>;
}

export async function startRelay(): Promise<Relay> {
  const sockets = new Set<Socket>();
  let port: number | undefined;
  const track = (socket: Socket, other: () => Socket | undefined): void => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => {
      sockets.delete(socket);
      other()?.destroy();
    });
  };
  const server = createServer((socket) => {
    const onward = port === undefined ? undefined : connect(port, "127.0.0.1");
    track(socket, () => onward);
    if (!onward) {
      socket.destroy();
      return;
    }
    track(onward, () => socket);
    socket.pipe(onward).pipe(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const end = (): void => sockets.forEach((socket) => socket.destroy());
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    lead(url) {
      port = url === undefined ? undefined : Number(new URL(url).port);
      end();
    },
    async close() {
      const closed = once(server, "close");
      server.close();
      end();
      await closed;
    },
  };
}
