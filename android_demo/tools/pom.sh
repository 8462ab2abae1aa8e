# Source this after jvm_env.sh: what the published artifacts say of themselves.
#   pom ARTIFACT PACKAGING DESCRIPTION group:artifact:version[:optional]...   writes a POM to stdout

LIBRARY_GROUP=dev.gpt2edge
LIBRARY_LICENSE=MIT

pom() {
  local artifact=$1 packaging=$2 description=$3 coordinate group name version optional
  cat <<END
<?xml version="1.0" encoding="utf-8"?>
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>$LIBRARY_GROUP</groupId>
  <artifactId>$artifact</artifactId>
  <version>$LIBRARY_VERSION</version>
  <packaging>$packaging</packaging>
  <name>$artifact</name>
  <description>$description</description>
  <licenses>
    <license>
      <name>$LIBRARY_LICENSE</name>
      <distribution>repo</distribution>
    </license>
  </licenses>
  <dependencies>
END
  for coordinate in "${@:4}"; do
    IFS=: read -r group name version optional <<<"$coordinate"
    echo "    <dependency>"
    echo "      <groupId>$group</groupId>"
    echo "      <artifactId>$name</artifactId>"
    echo "      <version>$version</version>"
    [[ $optional != optional ]] || echo "      <optional>true</optional>"
    [[ $optional != aar ]] || echo "      <type>aar</type>"
    echo "    </dependency>"
  done
  echo "  </dependencies>"
  echo "</project>"
}
